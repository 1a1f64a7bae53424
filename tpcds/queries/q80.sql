-- TPC-DS query 80: sales, returns and profit of dear items without a television promotion, by channel and outlet.
-- param sales_date = 2000-08-23
with days as (
    select d_date_sk
    from date_dim
    where d_date between cast('${sales_date}' as date) and cast('${sales_date}' as date) + interval '30' day
),
ssr as (
    select
        s_store_id as store_id,
        sum(ss_ext_sales_price) as sales,
        sum(coalesce(sr_return_amt, 0)) as returned,
        sum(ss_net_profit - coalesce(sr_net_loss, 0)) as profit
    from store_sales
    left join store_returns on sr_item_sk = ss_item_sk and sr_ticket_number = ss_ticket_number
    join days on d_date_sk = ss_sold_date_sk
    join store on s_store_sk = ss_store_sk
    join item on i_item_sk = ss_item_sk
    join promotion on p_promo_sk = ss_promo_sk
    where i_current_price > 50
      and p_channel_tv = 'N'
    group by s_store_id
),
csr as (
    select
        cp_catalog_page_id as catalog_page_id,
        sum(cs_ext_sales_price) as sales,
        sum(coalesce(cr_return_amount, 0)) as returned,
        sum(cs_net_profit - coalesce(cr_net_loss, 0)) as profit
    from catalog_sales
    left join catalog_returns on cr_item_sk = cs_item_sk and cr_order_number = cs_order_number
    join days on d_date_sk = cs_sold_date_sk
    join catalog_page on cp_catalog_page_sk = cs_catalog_page_sk
    join item on i_item_sk = cs_item_sk
    join promotion on p_promo_sk = cs_promo_sk
    where i_current_price > 50
      and p_channel_tv = 'N'
    group by cp_catalog_page_id
),
wsr as (
    select
        web_site_id,
        sum(ws_ext_sales_price) as sales,
        sum(coalesce(wr_return_amt, 0)) as returned,
        sum(ws_net_profit - coalesce(wr_net_loss, 0)) as profit
    from web_sales
    left join web_returns on wr_item_sk = ws_item_sk and wr_order_number = ws_order_number
    join days on d_date_sk = ws_sold_date_sk
    join web_site on web_site_sk = ws_web_site_sk
    join item on i_item_sk = ws_item_sk
    join promotion on p_promo_sk = ws_promo_sk
    where i_current_price > 50
      and p_channel_tv = 'N'
    group by web_site_id
),
outlets as (
    select 'store channel' as channel, 'store' || store_id as id, sales, returned, profit
    from ssr
    union all
    select 'catalog channel', 'catalog_page' || catalog_page_id, sales, returned, profit
    from csr
    union all
    select 'web channel', 'web_site' || web_site_id, sales, returned, profit
    from wsr
)
select
    channel,
    id,
    sum(sales) as sales,
    sum(returned) as returns,
    sum(profit) as profit
from outlets
group by rollup (channel, id)
order by channel, id
limit 100
