-- TPC-DS query 13: average quantity, price and cost of store sales to given households in given states.
-- param marital_status_1 = M
-- param marital_status_2 = S
-- param marital_status_3 = W
-- param education_1 = Advanced Degree
-- param education_2 = College
-- param education_3 = 2 yr Degree
-- param state_1 = TX
-- param state_2 = OH
-- param state_3 = TX
-- param state_4 = OR
-- param state_5 = NM
-- param state_6 = KY
-- param state_7 = VA
-- param state_8 = TX
-- param state_9 = MS
select
    avg(ss_quantity) as avg_quantity,
    avg(ss_ext_sales_price) as avg_ext_sales_price,
    avg(ss_ext_wholesale_cost) as avg_ext_wholesale_cost,
    sum(ss_ext_wholesale_cost) as sum_ext_wholesale_cost
from store_sales
join date_dim on d_date_sk = ss_sold_date_sk
join store on s_store_sk = ss_store_sk
join household_demographics on hd_demo_sk = ss_hdemo_sk
join customer_demographics on cd_demo_sk = ss_cdemo_sk
join customer_address on ca_address_sk = ss_addr_sk
where d_year = 2001
  and (
      (
          cd_marital_status = '${marital_status_1}'
          and cd_education_status = '${education_1}'
          and ss_sales_price between 100.00 and 150.00
          and hd_dep_count = 3
      )
      or (
          cd_marital_status = '${marital_status_2}'
          and cd_education_status = '${education_2}'
          and ss_sales_price between 50.00 and 100.00
          and hd_dep_count = 1
      )
      or (
          cd_marital_status = '${marital_status_3}'
          and cd_education_status = '${education_3}'
          and ss_sales_price between 150.00 and 200.00
          and hd_dep_count = 1
      )
  )
  and ca_country = 'United States'
  and (
      (ca_state in ('${state_1}', '${state_2}', '${state_3}') and ss_net_profit between 100 and 200)
      or (ca_state in ('${state_4}', '${state_5}', '${state_6}') and ss_net_profit between 150 and 300)
      or (ca_state in ('${state_7}', '${state_8}', '${state_9}') and ss_net_profit between 50 and 250)
  )
