-- TPC-DS query 34: customers of some counties' stores who bought 15 to 20 items at once at the turn of a month.
-- param buy_potential_1 = >10000
-- param buy_potential_2 = Unknown
-- param year = 1999
-- param county_1 = Williamson County
-- param county_2 = Williamson County
-- param county_3 = Williamson County
-- param county_4 = Williamson County
-- param county_5 = Williamson County
-- param county_6 = Williamson County
-- param county_7 = Williamson County
-- param county_8 = Williamson County
with tickets as (
    select ss_ticket_number, ss_customer_sk, count(*) as cnt
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join store on s_store_sk = ss_store_sk
    join household_demographics on hd_demo_sk = ss_hdemo_sk
    where (d_dom between 1 and 3 or d_dom between 25 and 28)
      and (hd_buy_potential = '${buy_potential_1}' or hd_buy_potential = '${buy_potential_2}')
      and hd_vehicle_count > 0
      and case
              when hd_vehicle_count > 0 then cast(hd_dep_count as decimal(15,4)) / hd_vehicle_count
              else null
          end > 1.2
      and d_year in (${year}, ${year} + 1, ${year} + 2)
      and s_county in (
          '${county_1}', '${county_2}', '${county_3}', '${county_4}',
          '${county_5}', '${county_6}', '${county_7}', '${county_8}'
      )
    group by ss_ticket_number, ss_customer_sk
)
select c_last_name, c_first_name, c_salutation, c_preferred_cust_flag, ss_ticket_number, cnt
from tickets
join customer on c_customer_sk = ss_customer_sk
where cnt between 15 and 20
order by c_last_name, c_first_name, c_salutation, c_preferred_cust_flag desc, ss_ticket_number
