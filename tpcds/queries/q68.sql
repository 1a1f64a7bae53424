-- TPC-DS query 68: purchases in stores of two cities, by some households, made away from the customer's present city.
-- param depcnt = 4
-- param vehcnt = 3
-- param year = 1999
-- param city_a = Midway
-- param city_b = Fairview
with tickets as (
    select
        ss_ticket_number,
        ss_customer_sk,
        ca_city as bought_city,
        sum(ss_ext_sales_price) as extended_price,
        sum(ss_ext_list_price) as list_price,
        sum(ss_ext_tax) as extended_tax
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join store on s_store_sk = ss_store_sk
    join household_demographics on hd_demo_sk = ss_hdemo_sk
    join customer_address on ca_address_sk = ss_addr_sk
    where d_dom between 1 and 2
      and d_year in (${year}, ${year} + 1, ${year} + 2)
      and (hd_dep_count = ${depcnt} or hd_vehicle_count = ${vehcnt})
      and s_city in ('${city_a}', '${city_b}')
    group by ss_ticket_number, ss_customer_sk, ss_addr_sk, ca_city
)
select
    c_last_name,
    c_first_name,
    home.ca_city,
    bought_city,
    ss_ticket_number,
    extended_price,
    extended_tax,
    list_price
from tickets
join customer on c_customer_sk = ss_customer_sk
join customer_address home on home.ca_address_sk = c_current_addr_sk
where home.ca_city <> bought_city
order by c_last_name, ss_ticket_number
limit 100
