-- TPC-DS query 48: items sold in a year to some demographics and states, within ranges of price and profit.
-- param marital_status_1 = M
-- param marital_status_2 = D
-- param marital_status_3 = S
-- param education_1 = 4 yr Degree
-- param education_2 = 2 yr Degree
-- param education_3 = College
-- param state_1 = CO
-- param state_2 = OH
-- param state_3 = TX
-- param state_4 = OR
-- param state_5 = MN
-- param state_6 = KY
-- param state_7 = VA
-- param state_8 = CA
-- param state_9 = MS
-- param year = 2000
select sum(ss_quantity) as quantity
from store_sales, store, customer_demographics, customer_address, date_dim
where s_store_sk = ss_store_sk
  and ss_sold_date_sk = d_date_sk
  and d_year = ${year}
  and cd_demo_sk = ss_cdemo_sk
  and (
      (
          cd_marital_status = '${marital_status_1}'
          and cd_education_status = '${education_1}'
          and ss_sales_price between 100.00 and 150.00
      )
      or (
          cd_marital_status = '${marital_status_2}'
          and cd_education_status = '${education_2}'
          and ss_sales_price between 50.00 and 100.00
      )
      or (
          cd_marital_status = '${marital_status_3}'
          and cd_education_status = '${education_3}'
          and ss_sales_price between 150.00 and 200.00
      )
  )
  and ss_addr_sk = ca_address_sk
  and ca_country = 'United States'
  and (
      (ca_state in ('${state_1}', '${state_2}', '${state_3}') and ss_net_profit between 0 and 2000)
      or (ca_state in ('${state_4}', '${state_5}', '${state_6}') and ss_net_profit between 150 and 3000)
      or (ca_state in ('${state_7}', '${state_8}', '${state_9}') and ss_net_profit between 50 and 25000)
  )
