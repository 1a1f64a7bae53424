-- TPC-DS query 56: a month's sales of items of some colours through all channels to addresses in a time zone.
-- param year = 2001
-- param month = 2
-- param gmt = -5
-- param color_1 = slate
-- param color_2 = blanched
-- param color_3 = burnished
with store_by_item as (
    select i_item_id, sum(ss_ext_sales_price) as total_sales
    from store_sales, date_dim, customer_address, item
    where i_item_id in (select i_item_id from item where i_color in ('${color_1}', '${color_2}', '${color_3}'))
      and ss_item_sk = i_item_sk
      and ss_sold_date_sk = d_date_sk
      and d_year = ${year}
      and d_moy = ${month}
      and ss_addr_sk = ca_address_sk
      and ca_gmt_offset = ${gmt}
    group by i_item_id
),
catalog_by_item as (
    select i_item_id, sum(cs_ext_sales_price) as total_sales
    from catalog_sales, date_dim, customer_address, item
    where i_item_id in (select i_item_id from item where i_color in ('${color_1}', '${color_2}', '${color_3}'))
      and cs_item_sk = i_item_sk
      and cs_sold_date_sk = d_date_sk
      and d_year = ${year}
      and d_moy = ${month}
      and cs_bill_addr_sk = ca_address_sk
      and ca_gmt_offset = ${gmt}
    group by i_item_id
),
web_by_item as (
    select i_item_id, sum(ws_ext_sales_price) as total_sales
    from web_sales, date_dim, customer_address, item
    where i_item_id in (select i_item_id from item where i_color in ('${color_1}', '${color_2}', '${color_3}'))
      and ws_item_sk = i_item_sk
      and ws_sold_date_sk = d_date_sk
      and d_year = ${year}
      and d_moy = ${month}
      and ws_bill_addr_sk = ca_address_sk
      and ca_gmt_offset = ${gmt}
    group by i_item_id
)
select i_item_id, sum(total_sales) as total_sales
from (
    select * from store_by_item
    union all
    select * from catalog_by_item
    union all
    select * from web_by_item
) channels
group by i_item_id
order by total_sales, i_item_id
limit 100
