-- TPC-DS query 27: average quantity and prices of items sold to one group of customers in given states, with subtotals.
-- param year = 2002
-- param gender = M
-- param marital_status = S
-- param education = College
-- param state_1 = TN
-- param state_2 = TN
-- param state_3 = TN
-- param state_4 = TN
-- param state_5 = TN
-- param state_6 = TN
select
    i_item_id,
    s_state,
    grouping(s_state) as g_state,
    avg(ss_quantity) as agg1,
    avg(ss_list_price) as agg2,
    avg(ss_coupon_amt) as agg3,
    avg(ss_sales_price) as agg4
from store_sales
join date_dim on d_date_sk = ss_sold_date_sk
join customer_demographics on cd_demo_sk = ss_cdemo_sk
join store on s_store_sk = ss_store_sk
join item on i_item_sk = ss_item_sk
where cd_gender = '${gender}'
  and cd_marital_status = '${marital_status}'
  and cd_education_status = '${education}'
  and d_year = ${year}
  and s_state in ('${state_1}', '${state_2}', '${state_3}', '${state_4}', '${state_5}', '${state_6}')
group by rollup (i_item_id, s_state)
order by i_item_id, s_state
limit 100
