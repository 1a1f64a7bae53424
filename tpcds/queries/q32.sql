-- TPC-DS query 32: total of catalog discounts of one manufacturer above 1.3 times the item's average, over 90 days.
-- param manufact = 977
-- param start_date = 2000-01-27
select sum(cs_ext_discount_amt) as "excess discount amount"
from catalog_sales
join date_dim on d_date_sk = cs_sold_date_sk
join item on i_item_sk = cs_item_sk
where i_manufact_id = ${manufact}
  and d_date between cast('${start_date}' as date) and cast('${start_date}' as date) + interval '90' day
  and cs_ext_discount_amt > (
      select 1.3 * avg(peer.cs_ext_discount_amt)
      from catalog_sales peer
      join date_dim on d_date_sk = peer.cs_sold_date_sk
      where peer.cs_item_sk = i_item_sk
        and d_date between cast('${start_date}' as date) and cast('${start_date}' as date) + interval '90' day
  )
limit 100
