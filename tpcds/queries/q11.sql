-- TPC-DS query 11: customers whose web spending grew faster than their store spending.
-- param year = 2001
-- param select_one = customer_preferred_cust_flag
with yearly as (
    select
        c_customer_id as customer_id,
        c_first_name as customer_first_name,
        c_last_name as customer_last_name,
        c_preferred_cust_flag as customer_preferred_cust_flag,
        c_birth_country as customer_birth_country,
        c_login as customer_login,
        c_email_address as customer_email_address,
        d_year as sales_year,
        sum(ss_ext_list_price - ss_ext_discount_amt) as year_total,
        'store' as channel
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join customer on c_customer_sk = ss_customer_sk
    group by
        c_customer_id, c_first_name, c_last_name, c_preferred_cust_flag,
        c_birth_country, c_login, c_email_address, d_year
    union all
    select
        c_customer_id,
        c_first_name,
        c_last_name,
        c_preferred_cust_flag,
        c_birth_country,
        c_login,
        c_email_address,
        d_year,
        sum(ws_ext_list_price - ws_ext_discount_amt),
        'web'
    from web_sales
    join date_dim on d_date_sk = ws_sold_date_sk
    join customer on c_customer_sk = ws_bill_customer_sk
    group by
        c_customer_id, c_first_name, c_last_name, c_preferred_cust_flag,
        c_birth_country, c_login, c_email_address, d_year
)
select
    store_2.customer_id,
    store_2.customer_first_name,
    store_2.customer_last_name,
    store_2.${select_one}
from yearly store_1
join yearly store_2 on store_2.customer_id = store_1.customer_id
join yearly web_1 on web_1.customer_id = store_1.customer_id
join yearly web_2 on web_2.customer_id = store_1.customer_id
where store_1.channel = 'store' and store_1.sales_year = ${year}
  and store_2.channel = 'store' and store_2.sales_year = ${year} + 1
  and web_1.channel = 'web' and web_1.sales_year = ${year}
  and web_2.channel = 'web' and web_2.sales_year = ${year} + 1
  and store_1.year_total > 0
  and web_1.year_total > 0
  and case when web_1.year_total > 0 then web_2.year_total / web_1.year_total else 0.0 end
    > case when store_1.year_total > 0 then store_2.year_total / store_1.year_total else 0.0 end
order by
    store_2.customer_id,
    store_2.customer_first_name,
    store_2.customer_last_name,
    store_2.${select_one}
limit 100
