-- TPC-DS query 5: sales, returns and profit of each store, catalog page and web site over 14 days, with subtotals.
-- param sales_date = 2000-08-23
with store_totals as (
    select
        s_store_id,
        sum(sales_price) as sales,
        sum(profit) as profit,
        sum(return_amt) as returned,
        sum(net_loss) as profit_loss
    from (
        select
            ss_store_sk as store_sk,
            ss_sold_date_sk as date_sk,
            ss_ext_sales_price as sales_price,
            ss_net_profit as profit,
            cast(0 as decimal(7,2)) as return_amt,
            cast(0 as decimal(7,2)) as net_loss
        from store_sales
        union all
        select
            sr_store_sk,
            sr_returned_date_sk,
            cast(0 as decimal(7,2)),
            cast(0 as decimal(7,2)),
            sr_return_amt,
            sr_net_loss
        from store_returns
    ) sales_and_returns
    join date_dim on d_date_sk = date_sk
    join store on s_store_sk = store_sk
    where d_date between cast('${sales_date}' as date) and cast('${sales_date}' as date) + interval '14' day
    group by s_store_id
),
catalog_totals as (
    select
        cp_catalog_page_id,
        sum(sales_price) as sales,
        sum(profit) as profit,
        sum(return_amt) as returned,
        sum(net_loss) as profit_loss
    from (
        select
            cs_catalog_page_sk as page_sk,
            cs_sold_date_sk as date_sk,
            cs_ext_sales_price as sales_price,
            cs_net_profit as profit,
            cast(0 as decimal(7,2)) as return_amt,
            cast(0 as decimal(7,2)) as net_loss
        from catalog_sales
        union all
        select
            cr_catalog_page_sk,
            cr_returned_date_sk,
            cast(0 as decimal(7,2)),
            cast(0 as decimal(7,2)),
            cr_return_amount,
            cr_net_loss
        from catalog_returns
    ) sales_and_returns
    join date_dim on d_date_sk = date_sk
    join catalog_page on cp_catalog_page_sk = page_sk
    where d_date between cast('${sales_date}' as date) and cast('${sales_date}' as date) + interval '14' day
    group by cp_catalog_page_id
),
web_totals as (
    select
        web_site_id,
        sum(sales_price) as sales,
        sum(profit) as profit,
        sum(return_amt) as returned,
        sum(net_loss) as profit_loss
    from (
        select
            ws_web_site_sk as site_sk,
            ws_sold_date_sk as date_sk,
            ws_ext_sales_price as sales_price,
            ws_net_profit as profit,
            cast(0 as decimal(7,2)) as return_amt,
            cast(0 as decimal(7,2)) as net_loss
        from web_sales
        union all
        -- A web return does not say at which site the item was bought; its sale does.
        select
            ws_web_site_sk,
            wr_returned_date_sk,
            cast(0 as decimal(7,2)),
            cast(0 as decimal(7,2)),
            wr_return_amt,
            wr_net_loss
        from web_returns
        left join web_sales on ws_item_sk = wr_item_sk and ws_order_number = wr_order_number
    ) sales_and_returns
    join date_dim on d_date_sk = date_sk
    join web_site on web_site_sk = site_sk
    where d_date between cast('${sales_date}' as date) and cast('${sales_date}' as date) + interval '14' day
    group by web_site_id
)
select
    channel,
    id,
    sum(sales) as sales,
    sum(returned) as returns,
    sum(profit) as profit
from (
    select
        'store channel' as channel,
        'store' || s_store_id as id,
        sales,
        returned,
        profit - profit_loss as profit
    from store_totals
    union all
    select 'catalog channel', 'catalog_page' || cp_catalog_page_id, sales, returned, profit - profit_loss
    from catalog_totals
    union all
    select 'web channel', 'web_site' || web_site_id, sales, returned, profit - profit_loss
    from web_totals
) channels
group by rollup (channel, id)
order by channel, id
limit 100
