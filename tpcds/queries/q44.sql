-- TPC-DS query 44: a store's ten best and ten worst items by average profit.
-- param store = 4
-- param null_col = ss_addr_sk
with threshold as (
    select avg(ss_net_profit) as rank_col
    from store_sales
    where ss_store_sk = ${store}
      and ${null_col} is null
    group by ss_store_sk
),
profits as (
    select ss_item_sk as item_sk, avg(ss_net_profit) as rank_col
    from store_sales
    where ss_store_sk = ${store}
    group by ss_item_sk
    having avg(ss_net_profit) > 0.9 * (select rank_col from threshold)
),
ascending as (
    select item_sk, rank() over (order by rank_col asc) as rnk
    from profits
),
descending as (
    select item_sk, rank() over (order by rank_col desc) as rnk
    from profits
)
select ascending.rnk, i1.i_product_name as best_performing, i2.i_product_name as worst_performing
from ascending, descending, item i1, item i2
where ascending.rnk < 11
  and descending.rnk < 11
  and ascending.rnk = descending.rnk
  and i1.i_item_sk = ascending.item_sk
  and i2.i_item_sk = descending.item_sk
order by ascending.rnk
limit 100
