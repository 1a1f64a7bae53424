-- TPC-DS query 88: sales of one store name in each half hour from 8:30 to 12:30, for three kinds of household.
-- param hour_1 = 4
-- param hour_2 = 2
-- param hour_3 = 0
-- param store = ese
select
    h8_30_to_9,
    h9_to_9_30,
    h9_30_to_10,
    h10_to_10_30,
    h10_30_to_11,
    h11_to_11_30,
    h11_30_to_12,
    h12_to_12_30
from
    (
        select count(*) as h8_30_to_9
        from store_sales
        join household_demographics on hd_demo_sk = ss_hdemo_sk
        join time_dim on t_time_sk = ss_sold_time_sk
        join store on s_store_sk = ss_store_sk
        where t_hour = 8
          and t_minute >= 30
          and (
              (hd_dep_count = ${hour_1} and hd_vehicle_count <= ${hour_1} + 2)
              or (hd_dep_count = ${hour_2} and hd_vehicle_count <= ${hour_2} + 2)
              or (hd_dep_count = ${hour_3} and hd_vehicle_count <= ${hour_3} + 2)
          )
          and s_store_name = '${store}'
    ) s_h8_30_to_9
    cross join
    (
        select count(*) as h9_to_9_30
        from store_sales
        join household_demographics on hd_demo_sk = ss_hdemo_sk
        join time_dim on t_time_sk = ss_sold_time_sk
        join store on s_store_sk = ss_store_sk
        where t_hour = 9
          and t_minute < 30
          and (
              (hd_dep_count = ${hour_1} and hd_vehicle_count <= ${hour_1} + 2)
              or (hd_dep_count = ${hour_2} and hd_vehicle_count <= ${hour_2} + 2)
              or (hd_dep_count = ${hour_3} and hd_vehicle_count <= ${hour_3} + 2)
          )
          and s_store_name = '${store}'
    ) s_h9_to_9_30
    cross join
    (
        select count(*) as h9_30_to_10
        from store_sales
        join household_demographics on hd_demo_sk = ss_hdemo_sk
        join time_dim on t_time_sk = ss_sold_time_sk
        join store on s_store_sk = ss_store_sk
        where t_hour = 9
          and t_minute >= 30
          and (
              (hd_dep_count = ${hour_1} and hd_vehicle_count <= ${hour_1} + 2)
              or (hd_dep_count = ${hour_2} and hd_vehicle_count <= ${hour_2} + 2)
              or (hd_dep_count = ${hour_3} and hd_vehicle_count <= ${hour_3} + 2)
          )
          and s_store_name = '${store}'
    ) s_h9_30_to_10
    cross join
    (
        select count(*) as h10_to_10_30
        from store_sales
        join household_demographics on hd_demo_sk = ss_hdemo_sk
        join time_dim on t_time_sk = ss_sold_time_sk
        join store on s_store_sk = ss_store_sk
        where t_hour = 10
          and t_minute < 30
          and (
              (hd_dep_count = ${hour_1} and hd_vehicle_count <= ${hour_1} + 2)
              or (hd_dep_count = ${hour_2} and hd_vehicle_count <= ${hour_2} + 2)
              or (hd_dep_count = ${hour_3} and hd_vehicle_count <= ${hour_3} + 2)
          )
          and s_store_name = '${store}'
    ) s_h10_to_10_30
    cross join
    (
        select count(*) as h10_30_to_11
        from store_sales
        join household_demographics on hd_demo_sk = ss_hdemo_sk
        join time_dim on t_time_sk = ss_sold_time_sk
        join store on s_store_sk = ss_store_sk
        where t_hour = 10
          and t_minute >= 30
          and (
              (hd_dep_count = ${hour_1} and hd_vehicle_count <= ${hour_1} + 2)
              or (hd_dep_count = ${hour_2} and hd_vehicle_count <= ${hour_2} + 2)
              or (hd_dep_count = ${hour_3} and hd_vehicle_count <= ${hour_3} + 2)
          )
          and s_store_name = '${store}'
    ) s_h10_30_to_11
    cross join
    (
        select count(*) as h11_to_11_30
        from store_sales
        join household_demographics on hd_demo_sk = ss_hdemo_sk
        join time_dim on t_time_sk = ss_sold_time_sk
        join store on s_store_sk = ss_store_sk
        where t_hour = 11
          and t_minute < 30
          and (
              (hd_dep_count = ${hour_1} and hd_vehicle_count <= ${hour_1} + 2)
              or (hd_dep_count = ${hour_2} and hd_vehicle_count <= ${hour_2} + 2)
              or (hd_dep_count = ${hour_3} and hd_vehicle_count <= ${hour_3} + 2)
          )
          and s_store_name = '${store}'
    ) s_h11_to_11_30
    cross join
    (
        select count(*) as h11_30_to_12
        from store_sales
        join household_demographics on hd_demo_sk = ss_hdemo_sk
        join time_dim on t_time_sk = ss_sold_time_sk
        join store on s_store_sk = ss_store_sk
        where t_hour = 11
          and t_minute >= 30
          and (
              (hd_dep_count = ${hour_1} and hd_vehicle_count <= ${hour_1} + 2)
              or (hd_dep_count = ${hour_2} and hd_vehicle_count <= ${hour_2} + 2)
              or (hd_dep_count = ${hour_3} and hd_vehicle_count <= ${hour_3} + 2)
          )
          and s_store_name = '${store}'
    ) s_h11_30_to_12
    cross join
    (
        select count(*) as h12_to_12_30
        from store_sales
        join household_demographics on hd_demo_sk = ss_hdemo_sk
        join time_dim on t_time_sk = ss_sold_time_sk
        join store on s_store_sk = ss_store_sk
        where t_hour = 12
          and t_minute < 30
          and (
              (hd_dep_count = ${hour_1} and hd_vehicle_count <= ${hour_1} + 2)
              or (hd_dep_count = ${hour_2} and hd_vehicle_count <= ${hour_2} + 2)
              or (hd_dep_count = ${hour_3} and hd_vehicle_count <= ${hour_3} + 2)
          )
          and s_store_name = '${store}'
    ) s_h12_to_12_30
