-- TPC-DS query 35: customers of stores and also of web or catalog, by state and demographics, with their dependents.
-- param year = 2002
-- param agg_one = min
-- param agg_two = max
-- param agg_three = avg
select
    ca_state,
    cd_gender,
    cd_marital_status,
    cd_dep_count,
    count(*) as cnt1,
    ${agg_one}(cd_dep_count) as dep_one,
    ${agg_two}(cd_dep_count) as dep_two,
    ${agg_three}(cd_dep_count) as dep_three,
    cd_dep_employed_count,
    count(*) as cnt2,
    ${agg_one}(cd_dep_employed_count) as employed_one,
    ${agg_two}(cd_dep_employed_count) as employed_two,
    ${agg_three}(cd_dep_employed_count) as employed_three,
    cd_dep_college_count,
    count(*) as cnt3,
    ${agg_one}(cd_dep_college_count) as college_one,
    ${agg_two}(cd_dep_college_count) as college_two,
    ${agg_three}(cd_dep_college_count) as college_three
from customer
join customer_address on ca_address_sk = c_current_addr_sk
join customer_demographics on cd_demo_sk = c_current_cdemo_sk
where exists (
        select *
        from store_sales, date_dim
        where ss_customer_sk = c_customer_sk
          and ss_sold_date_sk = d_date_sk
          and d_year = ${year}
          and d_qoy < 4
    )
  and (
        exists (
            select *
            from web_sales, date_dim
            where ws_bill_customer_sk = c_customer_sk
              and ws_sold_date_sk = d_date_sk
              and d_year = ${year}
              and d_qoy < 4
        )
        or exists (
            select *
            from catalog_sales, date_dim
            where cs_ship_customer_sk = c_customer_sk
              and cs_sold_date_sk = d_date_sk
              and d_year = ${year}
              and d_qoy < 4
        )
    )
group by ca_state, cd_gender, cd_marital_status, cd_dep_count, cd_dep_employed_count, cd_dep_college_count
order by ca_state, cd_gender, cd_marital_status, cd_dep_count, cd_dep_employed_count, cd_dep_college_count
limit 100
