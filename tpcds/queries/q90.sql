-- TPC-DS query 90: ratio of morning to evening web sales on pages of a certain length.
-- param hour_am = 8
-- param hour_pm = 19
-- param depcnt = 6
select cast(amc as decimal(15,4)) / cast(pmc as decimal(15,4)) as am_pm_ratio
from
    (
        select count(*) as amc
        from web_sales
        join household_demographics on hd_demo_sk = ws_ship_hdemo_sk
        join time_dim on t_time_sk = ws_sold_time_sk
        join web_page on wp_web_page_sk = ws_web_page_sk
        where t_hour between ${hour_am} and ${hour_am} + 1
          and hd_dep_count = ${depcnt}
          and wp_char_count between 5000 and 5200
    ) am
    cross join
    (
        select count(*) as pmc
        from web_sales
        join household_demographics on hd_demo_sk = ws_ship_hdemo_sk
        join time_dim on t_time_sk = ws_sold_time_sk
        join web_page on wp_web_page_sk = ws_web_page_sk
        where t_hour between ${hour_pm} and ${hour_pm} + 1
          and hd_dep_count = ${depcnt}
          and wp_char_count between 5000 and 5200
    ) pm
order by am_pm_ratio
limit 100
