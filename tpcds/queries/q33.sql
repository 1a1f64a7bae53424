-- TPC-DS query 33: a month's sales over all channels, in one time zone, of manufacturers that make a given category.
-- param category = Electronics
-- param year = 1998
-- param month = 5
-- param gmt = -5
with channel_sales as (
    select
        i_manufact_id,
        sum(ss_ext_sales_price) as total_sales
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join customer_address on ca_address_sk = ss_addr_sk
    join item on i_item_sk = ss_item_sk
    where i_manufact_id in (select i_manufact_id from item where i_category in ('${category}'))
      and d_year = ${year}
      and d_moy = ${month}
      and ca_gmt_offset = ${gmt}
    group by i_manufact_id
    union all
    select
        i_manufact_id,
        sum(cs_ext_sales_price)
    from catalog_sales
    join date_dim on d_date_sk = cs_sold_date_sk
    join customer_address on ca_address_sk = cs_bill_addr_sk
    join item on i_item_sk = cs_item_sk
    where i_manufact_id in (select i_manufact_id from item where i_category in ('${category}'))
      and d_year = ${year}
      and d_moy = ${month}
      and ca_gmt_offset = ${gmt}
    group by i_manufact_id
    union all
    select
        i_manufact_id,
        sum(ws_ext_sales_price)
    from web_sales
    join date_dim on d_date_sk = ws_sold_date_sk
    join customer_address on ca_address_sk = ws_bill_addr_sk
    join item on i_item_sk = ws_item_sk
    where i_manufact_id in (select i_manufact_id from item where i_category in ('${category}'))
      and d_year = ${year}
      and d_moy = ${month}
      and ca_gmt_offset = ${gmt}
    group by i_manufact_id
)
select
    i_manufact_id,
    sum(total_sales) as total_sales
from channel_sales
group by i_manufact_id
order by total_sales
limit 100
