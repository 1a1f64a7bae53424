-- TPC-DS query 86: web sales by item category and class with subtotals, ranked within the parent.
-- param dms = 1200
with sales as (
    select
        sum(ws_net_paid) as total_sum,
        i_category,
        i_class,
        grouping(i_category) as category_total,
        grouping(i_class) as class_total
    from web_sales
    join date_dim on d_date_sk = ws_sold_date_sk
    join item on i_item_sk = ws_item_sk
    where d_month_seq between ${dms} and ${dms} + 11
    group by rollup (i_category, i_class)
),
levels as (
    select
        total_sum,
        i_category,
        i_class,
        category_total + class_total as lochierarchy,
        case when class_total = 0 then i_category end as parent
    from sales
),
ranked as (
    select
        total_sum,
        i_category,
        i_class,
        lochierarchy,
        rank() over (partition by lochierarchy, parent order by total_sum desc) as rank_within_parent
    from levels
)
select total_sum, i_category, i_class, lochierarchy, rank_within_parent
from ranked
order by lochierarchy desc, case when lochierarchy = 0 then i_category end, rank_within_parent
limit 100
