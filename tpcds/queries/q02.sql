-- TPC-DS query 2: web and catalog sales of each weekday, as a ratio to the same day 53 weeks later.
-- param year = 2001
with web_and_catalog as (
    select ws_sold_date_sk as sold_date_sk, ws_ext_sales_price as sales_price from web_sales
    union all
    select cs_sold_date_sk, cs_ext_sales_price from catalog_sales
),
week_sales as (
    select
        d_week_seq as week_seq,
        sum(case when d_day_name = 'Sunday' then sales_price end) as sun_sales,
        sum(case when d_day_name = 'Monday' then sales_price end) as mon_sales,
        sum(case when d_day_name = 'Tuesday' then sales_price end) as tue_sales,
        sum(case when d_day_name = 'Wednesday' then sales_price end) as wed_sales,
        sum(case when d_day_name = 'Thursday' then sales_price end) as thu_sales,
        sum(case when d_day_name = 'Friday' then sales_price end) as fri_sales,
        sum(case when d_day_name = 'Saturday' then sales_price end) as sat_sales
    from web_and_catalog
    join date_dim on d_date_sk = sold_date_sk
    group by d_week_seq
),
-- One row per day of the year, as the specification has it: a week counts as often as it has days in that year.
this_year as (
    select week_sales.*
    from week_sales
    join date_dim on d_week_seq = week_seq
    where d_year = ${year}
),
next_year as (
    select week_sales.*
    from week_sales
    join date_dim on d_week_seq = week_seq
    where d_year = ${year} + 1
)
select
    this_year.week_seq as d_week_seq1,
    round(this_year.sun_sales / next_year.sun_sales, 2) as sun_ratio,
    round(this_year.mon_sales / next_year.mon_sales, 2) as mon_ratio,
    round(this_year.tue_sales / next_year.tue_sales, 2) as tue_ratio,
    round(this_year.wed_sales / next_year.wed_sales, 2) as wed_ratio,
    round(this_year.thu_sales / next_year.thu_sales, 2) as thu_ratio,
    round(this_year.fri_sales / next_year.fri_sales, 2) as fri_ratio,
    round(this_year.sat_sales / next_year.sat_sales, 2) as sat_ratio
from this_year
join next_year on this_year.week_seq = next_year.week_seq - 53
order by d_week_seq1
