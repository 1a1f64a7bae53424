-- TPC-DS query 31: counties where web sales grew faster than store sales over the first three quarters of a year.
-- param year = 2000
-- param order_by = store_q1.ca_county
with store_quarter as (
    select
        ca_county,
        d_qoy,
        d_year,
        sum(ss_ext_sales_price) as sales
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join customer_address on ca_address_sk = ss_addr_sk
    group by ca_county, d_qoy, d_year
),
web_quarter as (
    select
        ca_county,
        d_qoy,
        d_year,
        sum(ws_ext_sales_price) as sales
    from web_sales
    join date_dim on d_date_sk = ws_sold_date_sk
    join customer_address on ca_address_sk = ws_bill_addr_sk
    group by ca_county, d_qoy, d_year
)
select
    store_q1.ca_county,
    store_q1.d_year,
    web_q2.sales / web_q1.sales as web_q1_q2_increase,
    store_q2.sales / store_q1.sales as store_q1_q2_increase,
    web_q3.sales / web_q2.sales as web_q2_q3_increase,
    store_q3.sales / store_q2.sales as store_q2_q3_increase
from store_quarter store_q1
join store_quarter store_q2 on store_q2.ca_county = store_q1.ca_county
join store_quarter store_q3 on store_q3.ca_county = store_q1.ca_county
join web_quarter web_q1 on web_q1.ca_county = store_q1.ca_county
join web_quarter web_q2 on web_q2.ca_county = store_q1.ca_county
join web_quarter web_q3 on web_q3.ca_county = store_q1.ca_county
where store_q1.d_qoy = 1 and store_q1.d_year = ${year}
  and store_q2.d_qoy = 2 and store_q2.d_year = ${year}
  and store_q3.d_qoy = 3 and store_q3.d_year = ${year}
  and web_q1.d_qoy = 1 and web_q1.d_year = ${year}
  and web_q2.d_qoy = 2 and web_q2.d_year = ${year}
  and web_q3.d_qoy = 3 and web_q3.d_year = ${year}
  and case when web_q1.sales > 0 then web_q2.sales / web_q1.sales end
    > case when store_q1.sales > 0 then store_q2.sales / store_q1.sales end
  and case when web_q2.sales > 0 then web_q3.sales / web_q2.sales end
    > case when store_q2.sales > 0 then store_q3.sales / store_q2.sales end
order by ${order_by}
