-- TPC-DS query 73: customers of four counties who bought one to five items on one ticket early in a month.
-- param bpone = >10000
-- param bptwo = Unknown
-- param year = 1999
-- param county_1 = Orange County
-- param county_2 = Bronx County
-- param county_3 = Franklin Parish
-- param county_4 = Williamson County
with tickets as (
    select ss_ticket_number, ss_customer_sk, count(*) as cnt
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join store on s_store_sk = ss_store_sk
    join household_demographics on hd_demo_sk = ss_hdemo_sk
    where d_dom between 1 and 2
      and hd_buy_potential in ('${bpone}', '${bptwo}')
      and hd_vehicle_count > 0
      and case when hd_vehicle_count > 0 then hd_dep_count * 1.000 / hd_vehicle_count end > 1
      and d_year in (${year}, ${year} + 1, ${year} + 2)
      and s_county in ('${county_1}', '${county_2}', '${county_3}', '${county_4}')
    group by ss_ticket_number, ss_customer_sk
)
select
    c_last_name,
    c_first_name,
    c_salutation,
    c_preferred_cust_flag,
    ss_ticket_number,
    cnt
from tickets
join customer on c_customer_sk = ss_customer_sk
where cnt between 1 and 5
order by cnt desc, c_last_name asc
