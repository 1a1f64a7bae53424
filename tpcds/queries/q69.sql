-- TPC-DS query 69: customers of three states who bought in stores but neither on the web nor by catalog.
-- param year = 2001
-- param month = 4
-- param state_1 = KY
-- param state_2 = GA
-- param state_3 = NM
select
    cd_gender,
    cd_marital_status,
    cd_education_status,
    count(*) as cnt1,
    cd_purchase_estimate,
    count(*) as cnt2,
    cd_credit_rating,
    count(*) as cnt3
from customer c
join customer_address on ca_address_sk = c.c_current_addr_sk
join customer_demographics on cd_demo_sk = c.c_current_cdemo_sk
where ca_state in ('${state_1}', '${state_2}', '${state_3}')
  and exists (
      select 1
      from store_sales
      join date_dim on d_date_sk = ss_sold_date_sk
      where ss_customer_sk = c.c_customer_sk
        and d_year = ${year}
        and d_moy between ${month} and ${month} + 2
  )
  and not exists (
      select 1
      from web_sales
      join date_dim on d_date_sk = ws_sold_date_sk
      where ws_bill_customer_sk = c.c_customer_sk
        and d_year = ${year}
        and d_moy between ${month} and ${month} + 2
  )
  and not exists (
      select 1
      from catalog_sales
      join date_dim on d_date_sk = cs_sold_date_sk
      where cs_ship_customer_sk = c.c_customer_sk
        and d_year = ${year}
        and d_moy between ${month} and ${month} + 2
  )
group by cd_gender, cd_marital_status, cd_education_status, cd_purchase_estimate, cd_credit_rating
order by cd_gender, cd_marital_status, cd_education_status, cd_purchase_estimate, cd_credit_rating
limit 100
