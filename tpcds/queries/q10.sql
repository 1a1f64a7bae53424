-- TPC-DS query 10: demographics of customers of given counties who bought in a store and also on the web or by catalog.
-- param year = 2002
-- param month = 1
-- param county_1 = Rush County
-- param county_2 = Toole County
-- param county_3 = Jefferson County
-- param county_4 = Dona Ana County
-- param county_5 = La Porte County
select
    cd_gender,
    cd_marital_status,
    cd_education_status,
    count(*) as cnt1,
    cd_purchase_estimate,
    count(*) as cnt2,
    cd_credit_rating,
    count(*) as cnt3,
    cd_dep_count,
    count(*) as cnt4,
    cd_dep_employed_count,
    count(*) as cnt5,
    cd_dep_college_count,
    count(*) as cnt6
from customer c
join customer_address on ca_address_sk = c.c_current_addr_sk
join customer_demographics on cd_demo_sk = c.c_current_cdemo_sk
where ca_county in ('${county_1}', '${county_2}', '${county_3}', '${county_4}', '${county_5}')
  and exists (
      select *
      from store_sales
      join date_dim on d_date_sk = ss_sold_date_sk
      where ss_customer_sk = c.c_customer_sk
        and d_year = ${year}
        and d_moy between ${month} and ${month} + 3
  )
  and (
      exists (
          select *
          from web_sales
          join date_dim on d_date_sk = ws_sold_date_sk
          where ws_bill_customer_sk = c.c_customer_sk
            and d_year = ${year}
            and d_moy between ${month} and ${month} + 3
      )
      or exists (
          select *
          from catalog_sales
          join date_dim on d_date_sk = cs_sold_date_sk
          where cs_ship_customer_sk = c.c_customer_sk
            and d_year = ${year}
            and d_moy between ${month} and ${month} + 3
      )
  )
group by
    cd_gender, cd_marital_status, cd_education_status, cd_purchase_estimate,
    cd_credit_rating, cd_dep_count, cd_dep_employed_count, cd_dep_college_count
order by
    cd_gender, cd_marital_status, cd_education_status, cd_purchase_estimate,
    cd_credit_rating, cd_dep_count, cd_dep_employed_count, cd_dep_college_count
limit 100
