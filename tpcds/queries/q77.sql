-- TPC-DS query 77: sales, returns and profit of thirty days by channel and outlet, with subtotals.
-- param sales_date = 2000-08-23
with days as (
    select d_date_sk
    from date_dim
    where d_date between cast('${sales_date}' as date) and cast('${sales_date}' as date) + interval '30' day
),
ss as (
    select s_store_sk, sum(ss_ext_sales_price) as sales, sum(ss_net_profit) as profit
    from store_sales
    join days on d_date_sk = ss_sold_date_sk
    join store on s_store_sk = ss_store_sk
    group by s_store_sk
),
sr as (
    select s_store_sk, sum(sr_return_amt) as returned, sum(sr_net_loss) as profit_loss
    from store_returns
    join days on d_date_sk = sr_returned_date_sk
    join store on s_store_sk = sr_store_sk
    group by s_store_sk
),
cs as (
    select cs_call_center_sk, sum(cs_ext_sales_price) as sales, sum(cs_net_profit) as profit
    from catalog_sales
    join days on d_date_sk = cs_sold_date_sk
    group by cs_call_center_sk
),
cr as (
    select cr_call_center_sk, sum(cr_return_amount) as returned, sum(cr_net_loss) as profit_loss
    from catalog_returns
    join days on d_date_sk = cr_returned_date_sk
    group by cr_call_center_sk
),
ws as (
    select wp_web_page_sk, sum(ws_ext_sales_price) as sales, sum(ws_net_profit) as profit
    from web_sales
    join days on d_date_sk = ws_sold_date_sk
    join web_page on wp_web_page_sk = ws_web_page_sk
    group by wp_web_page_sk
),
wr as (
    select wp_web_page_sk, sum(wr_return_amt) as returned, sum(wr_net_loss) as profit_loss
    from web_returns
    join days on d_date_sk = wr_returned_date_sk
    join web_page on wp_web_page_sk = wr_web_page_sk
    group by wp_web_page_sk
),
outlets as (
    select
        'store channel' as channel,
        ss.s_store_sk as id,
        sales,
        coalesce(returned, 0) as returned,
        profit - coalesce(profit_loss, 0) as profit
    from ss
    left join sr on sr.s_store_sk = ss.s_store_sk
    union all
    -- The specification gives no join condition between catalog sales and catalog returns.
    select 'catalog channel', cs_call_center_sk, sales, returned, profit - profit_loss
    from cs
    cross join cr
    union all
    select
        'web channel',
        ws.wp_web_page_sk,
        sales,
        coalesce(returned, 0),
        profit - coalesce(profit_loss, 0)
    from ws
    left join wr on wr.wp_web_page_sk = ws.wp_web_page_sk
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
