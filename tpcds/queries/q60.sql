-- TPC-DS query 60: a month's sales of the items of a category through all channels to addresses in a time zone.
-- param category = Music
-- param year = 1998
-- param month = 9
-- param gmt = -5
with store_by_item as (
    select i_item_id, sum(ss_ext_sales_price) as total_sales
    from store_sales, date_dim, customer_address, item
    where i_item_id in (select i_item_id from item where i_category in ('${category}'))
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
    where i_item_id in (select i_item_id from item where i_category in ('${category}'))
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
    where i_item_id in (select i_item_id from item where i_category in ('${category}'))
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
order by i_item_id, total_sales
limit 100
