-- TPC-DS query 74: customers whose web purchases grew more, from one year to the next, than their store purchases.
-- param year = 2001
-- param aggone = sum
-- param orderc_1 = 1
-- param orderc_2 = 1
-- param orderc_3 = 1
with year_total as (
    select
        c_customer_id as customer_id,
        c_first_name as customer_first_name,
        c_last_name as customer_last_name,
        d_year as sale_year,
        ${aggone}(ss_net_paid) as year_total,
        's' as sale_type
    from customer
    join store_sales on ss_customer_sk = c_customer_sk
    join date_dim on d_date_sk = ss_sold_date_sk
    where d_year in (${year}, ${year} + 1)
    group by c_customer_id, c_first_name, c_last_name, d_year
    union all
    select
        c_customer_id,
        c_first_name,
        c_last_name,
        d_year,
        ${aggone}(ws_net_paid),
        'w'
    from customer
    join web_sales on ws_bill_customer_sk = c_customer_sk
    join date_dim on d_date_sk = ws_sold_date_sk
    where d_year in (${year}, ${year} + 1)
    group by c_customer_id, c_first_name, c_last_name, d_year
)
select
    store_second.customer_id,
    store_second.customer_first_name,
    store_second.customer_last_name
from year_total store_first
join year_total store_second on store_second.customer_id = store_first.customer_id
join year_total web_first on web_first.customer_id = store_first.customer_id
join year_total web_second on web_second.customer_id = store_first.customer_id
where store_first.sale_type = 's'
  and web_first.sale_type = 'w'
  and store_second.sale_type = 's'
  and web_second.sale_type = 'w'
  and store_first.sale_year = ${year}
  and store_second.sale_year = ${year} + 1
  and web_first.sale_year = ${year}
  and web_second.sale_year = ${year} + 1
  and store_first.year_total > 0
  and web_first.year_total > 0
  and case when web_first.year_total > 0 then web_second.year_total / web_first.year_total end
      > case when store_first.year_total > 0 then store_second.year_total / store_first.year_total end
order by ${orderc_1}, ${orderc_2}, ${orderc_3}
limit 100
