-- TPC-DS query 65: items of each store with at most a tenth of the store's average revenue per item.
-- param month_seq = 1176
with item_revenue as (
    select ss_store_sk, ss_item_sk, sum(ss_sales_price) as revenue
    from store_sales, date_dim
    where ss_sold_date_sk = d_date_sk
      and d_month_seq between ${month_seq} and ${month_seq} + 11
    group by ss_store_sk, ss_item_sk
),
store_average as (
    select ss_store_sk, avg(revenue) as ave
    from item_revenue
    group by ss_store_sk
)
select s_store_name, i_item_desc, sc.revenue, i_current_price, i_wholesale_cost, i_brand
from store, item, store_average sb, item_revenue sc
where sb.ss_store_sk = sc.ss_store_sk
  and sc.revenue <= 0.1 * sb.ave
  and s_store_sk = sc.ss_store_sk
  and i_item_sk = sc.ss_item_sk
order by s_store_name, i_item_desc
limit 100
