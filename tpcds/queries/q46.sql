-- TPC-DS query 46: weekend purchases in some cities by out-of-town households of a given size or number of cars.
-- param dep_count = 4
-- param vehicle_count = 3
-- param year = 1999
-- param city_1 = Fairview
-- param city_2 = Midway
-- param city_3 = Fairview
-- param city_4 = Fairview
-- param city_5 = Fairview
with visits as (
    select
        ss_ticket_number,
        ss_customer_sk,
        ca_city as bought_city,
        sum(ss_coupon_amt) as amt,
        sum(ss_net_profit) as profit
    from store_sales, date_dim, store, household_demographics, customer_address
    where ss_sold_date_sk = d_date_sk
      and ss_store_sk = s_store_sk
      and ss_hdemo_sk = hd_demo_sk
      and ss_addr_sk = ca_address_sk
      and (hd_dep_count = ${dep_count} or hd_vehicle_count = ${vehicle_count})
      and d_dow in (6, 0)
      and d_year in (${year}, ${year} + 1, ${year} + 2)
      and s_city in ('${city_1}', '${city_2}', '${city_3}', '${city_4}', '${city_5}')
    group by ss_ticket_number, ss_customer_sk, ss_addr_sk, ca_city
)
select c_last_name, c_first_name, home.ca_city, bought_city, ss_ticket_number, amt, profit
from visits, customer, customer_address home
where ss_customer_sk = c_customer_sk
  and c_current_addr_sk = home.ca_address_sk
  and home.ca_city <> bought_city
order by c_last_name, c_first_name, home.ca_city, bought_city, ss_ticket_number
limit 100
