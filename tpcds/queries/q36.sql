-- TPC-DS query 36: gross margin of stores by item category and class with subtotals, ranked within the parent.
-- param year = 2001
-- param state_1 = TN
-- param state_2 = TN
-- param state_3 = TN
-- param state_4 = TN
-- param state_5 = TN
-- param state_6 = TN
-- param state_7 = TN
-- param state_8 = TN
with margins as (
    select
        sum(ss_net_profit) / sum(ss_ext_sales_price) as gross_margin,
        i_category,
        i_class,
        grouping(i_category) as category_total,
        grouping(i_class) as class_total
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join item on i_item_sk = ss_item_sk
    join store on s_store_sk = ss_store_sk
    where d_year = ${year}
      and s_state in (
          '${state_1}', '${state_2}', '${state_3}', '${state_4}',
          '${state_5}', '${state_6}', '${state_7}', '${state_8}'
      )
    group by rollup (i_category, i_class)
),
levels as (
    select
        gross_margin,
        i_category,
        i_class,
        category_total + class_total as lochierarchy,
        case when class_total = 0 then i_category end as parent
    from margins
),
ranked as (
    select
        gross_margin,
        i_category,
        i_class,
        lochierarchy,
        rank() over (partition by lochierarchy, parent order by gross_margin asc) as rank_within_parent
    from levels
)
select gross_margin, i_category, i_class, lochierarchy, rank_within_parent
from ranked
order by lochierarchy desc, case when lochierarchy = 0 then i_category end, rank_within_parent
limit 100
