-- TPC-DS query 59: ratio of each store's weekly sales to those of the same week a year later, by day of the week.
-- param month_seq = 1212
with weekly as (
    select
        d_week_seq,
        ss_store_sk,
        sum(case when d_day_name = 'Sunday' then ss_sales_price else null end) as sun_sales,
        sum(case when d_day_name = 'Monday' then ss_sales_price else null end) as mon_sales,
        sum(case when d_day_name = 'Tuesday' then ss_sales_price else null end) as tue_sales,
        sum(case when d_day_name = 'Wednesday' then ss_sales_price else null end) as wed_sales,
        sum(case when d_day_name = 'Thursday' then ss_sales_price else null end) as thu_sales,
        sum(case when d_day_name = 'Friday' then ss_sales_price else null end) as fri_sales,
        sum(case when d_day_name = 'Saturday' then ss_sales_price else null end) as sat_sales
    from store_sales, date_dim
    where d_date_sk = ss_sold_date_sk
    group by d_week_seq, ss_store_sk
),
this_year as (
    select
        s_store_name,
        s_store_id,
        weekly.d_week_seq as week_seq,
        sun_sales,
        mon_sales,
        tue_sales,
        wed_sales,
        thu_sales,
        fri_sales,
        sat_sales
    from weekly, store, date_dim
    where date_dim.d_week_seq = weekly.d_week_seq
      and ss_store_sk = s_store_sk
      and d_month_seq between ${month_seq} and ${month_seq} + 11
),
next_year as (
    select
        s_store_name,
        s_store_id,
        weekly.d_week_seq as week_seq,
        sun_sales,
        mon_sales,
        tue_sales,
        wed_sales,
        thu_sales,
        fri_sales,
        sat_sales
    from weekly, store, date_dim
    where date_dim.d_week_seq = weekly.d_week_seq
      and ss_store_sk = s_store_sk
      and d_month_seq between ${month_seq} + 12 and ${month_seq} + 23
)
select
    y.s_store_name as s_store_name1,
    y.s_store_id as s_store_id1,
    y.week_seq as d_week_seq1,
    y.sun_sales / x.sun_sales as sun_ratio,
    y.mon_sales / x.mon_sales as mon_ratio,
    y.tue_sales / x.tue_sales as tue_ratio,
    y.wed_sales / x.wed_sales as wed_ratio,
    y.thu_sales / x.thu_sales as thu_ratio,
    y.fri_sales / x.fri_sales as fri_ratio,
    y.sat_sales / x.sat_sales as sat_ratio
from this_year y, next_year x
where y.s_store_id = x.s_store_id
  and y.week_seq = x.week_seq - 52
order by s_store_name1, s_store_id1, d_week_seq1
limit 100
