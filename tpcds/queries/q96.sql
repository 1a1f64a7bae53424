-- TPC-DS query 96: store sales in the second half of an hour to households of one size, at one store name.
-- param hour = 20
-- param depcnt = 7
select count(*) as sales_count
from store_sales
join household_demographics on hd_demo_sk = ss_hdemo_sk
join time_dim on t_time_sk = ss_sold_time_sk
join store on s_store_sk = ss_store_sk
where t_hour = ${hour}
  and t_minute >= 30
  and hd_dep_count = ${depcnt}
  and s_store_name = 'ese'
order by sales_count
limit 100
