-- TPC-DS query 76: sales with one key unknown, by channel, period and category.
-- param nullcolss = ss_store_sk
-- param nullcolws = ws_ship_customer_sk
-- param nullcolcs = cs_ship_addr_sk
with sales as (
    select
        'store' as channel,
        '${nullcolss}' as col_name,
        d_year,
        d_qoy,
        i_category,
        ss_ext_sales_price as ext_sales_price
    from store_sales
    join item on i_item_sk = ss_item_sk
    join date_dim on d_date_sk = ss_sold_date_sk
    where ${nullcolss} is null
    union all
    select 'web', '${nullcolws}', d_year, d_qoy, i_category, ws_ext_sales_price
    from web_sales
    join item on i_item_sk = ws_item_sk
    join date_dim on d_date_sk = ws_sold_date_sk
    where ${nullcolws} is null
    union all
    select 'catalog', '${nullcolcs}', d_year, d_qoy, i_category, cs_ext_sales_price
    from catalog_sales
    join item on i_item_sk = cs_item_sk
    join date_dim on d_date_sk = cs_sold_date_sk
    where ${nullcolcs} is null
)
select
    channel,
    col_name,
    d_year,
    d_qoy,
    i_category,
    count(*) as sales_cnt,
    sum(ext_sales_price) as sales_amt
from sales
group by channel, col_name, d_year, d_qoy, i_category
order by channel, col_name, d_year, d_qoy, i_category
limit 100
