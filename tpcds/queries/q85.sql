-- TPC-DS query 85: quantity, refund and fee of web returns by reason, for some demographics, places and profits.
-- param year = 2000
-- param ms_1 = M
-- param ms_2 = S
-- param ms_3 = W
-- param es_1 = Advanced Degree
-- param es_2 = College
-- param es_3 = 2 yr Degree
-- param state_1 = IN
-- param state_2 = OH
-- param state_3 = NJ
-- param state_4 = WI
-- param state_5 = CT
-- param state_6 = KY
-- param state_7 = LA
-- param state_8 = IA
-- param state_9 = AR
select
    substr(r_reason_desc, 1, 20) as reason,
    avg(ws_quantity) as avg_quantity,
    avg(wr_refunded_cash) as avg_refunded_cash,
    avg(wr_fee) as avg_fee
from web_sales
join web_returns on wr_item_sk = ws_item_sk and wr_order_number = ws_order_number
join web_page on wp_web_page_sk = ws_web_page_sk
join date_dim on d_date_sk = ws_sold_date_sk
join customer_demographics refunded on refunded.cd_demo_sk = wr_refunded_cdemo_sk
join customer_demographics returning_cd on returning_cd.cd_demo_sk = wr_returning_cdemo_sk
join customer_address on ca_address_sk = wr_refunded_addr_sk
join reason on r_reason_sk = wr_reason_sk
where d_year = ${year}
  and refunded.cd_marital_status = returning_cd.cd_marital_status
  and refunded.cd_education_status = returning_cd.cd_education_status
  and (
      (
          refunded.cd_marital_status = '${ms_1}'
          and refunded.cd_education_status = '${es_1}'
          and ws_sales_price between 100.00 and 150.00
      )
      or (
          refunded.cd_marital_status = '${ms_2}'
          and refunded.cd_education_status = '${es_2}'
          and ws_sales_price between 50.00 and 100.00
      )
      or (
          refunded.cd_marital_status = '${ms_3}'
          and refunded.cd_education_status = '${es_3}'
          and ws_sales_price between 150.00 and 200.00
      )
  )
  and ca_country = 'United States'
  and (
      (ca_state in ('${state_1}', '${state_2}', '${state_3}') and ws_net_profit between 100 and 200)
      or (ca_state in ('${state_4}', '${state_5}', '${state_6}') and ws_net_profit between 150 and 300)
      or (ca_state in ('${state_7}', '${state_8}', '${state_9}') and ws_net_profit between 50 and 250)
  )
group by r_reason_desc
order by reason, avg_quantity, avg_refunded_cash, avg_fee
limit 100
