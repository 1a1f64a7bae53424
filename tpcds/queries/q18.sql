-- TPC-DS query 18: averages of catalog sales to customers of one sex and education, by item and place, with subtotals.
-- param year = 1998
-- param gender = F
-- param education = Unknown
-- param month_1 = 1
-- param month_2 = 6
-- param month_3 = 8
-- param month_4 = 9
-- param month_5 = 12
-- param month_6 = 2
-- param state_1 = MS
-- param state_2 = IN
-- param state_3 = ND
-- param state_4 = OK
-- param state_5 = NM
-- param state_6 = VA
-- param state_7 = MS
select
    i_item_id,
    ca_country,
    ca_state,
    ca_county,
    avg(cast(cs_quantity as decimal(12,2))) as agg1,
    avg(cast(cs_list_price as decimal(12,2))) as agg2,
    avg(cast(cs_coupon_amt as decimal(12,2))) as agg3,
    avg(cast(cs_sales_price as decimal(12,2))) as agg4,
    avg(cast(cs_net_profit as decimal(12,2))) as agg5,
    avg(cast(c_birth_year as decimal(12,2))) as agg6,
    avg(cast(buyer.cd_dep_count as decimal(12,2))) as agg7
from catalog_sales
join date_dim on d_date_sk = cs_sold_date_sk
join customer_demographics buyer on buyer.cd_demo_sk = cs_bill_cdemo_sk
join customer on c_customer_sk = cs_bill_customer_sk
join customer_demographics current_demo on current_demo.cd_demo_sk = c_current_cdemo_sk
join customer_address on ca_address_sk = c_current_addr_sk
join item on i_item_sk = cs_item_sk
where buyer.cd_gender = '${gender}'
  and buyer.cd_education_status = '${education}'
  and c_birth_month in (${month_1}, ${month_2}, ${month_3}, ${month_4}, ${month_5}, ${month_6})
  and d_year = ${year}
  and ca_state in (
      '${state_1}', '${state_2}', '${state_3}', '${state_4}', '${state_5}', '${state_6}', '${state_7}'
  )
group by rollup (i_item_id, ca_country, ca_state, ca_county)
order by ca_country, ca_state, ca_county, i_item_id
limit 100
