-- TPC-DS query 3: sales of one manufacturer's brands in a given month, for every year.
-- param month = 11
-- param manufact = 128
-- param agg_field = ss_ext_sales_price
select
    d_year,
    i_brand_id as brand_id,
    i_brand as brand,
    sum(${agg_field}) as sum_agg
from store_sales
join date_dim on d_date_sk = ss_sold_date_sk
join item on i_item_sk = ss_item_sk
where i_manufact_id = ${manufact}
  and d_moy = ${month}
group by d_year, i_brand, i_brand_id
order by d_year, sum_agg desc, brand_id
limit 100
