-- TPC-DS query 70: store profit by state and county with subtotals, ranked within the parent, in the top states.
-- param dms = 1200
with state_profit as (
    select s_state, sum(ss_net_profit) as net_profit
    from store_sales
    join store on s_store_sk = ss_store_sk
    join date_dim on d_date_sk = ss_sold_date_sk
    where d_month_seq between ${dms} and ${dms} + 11
    group by s_state
),
-- The specification ranks within the state, so that every state with sales comes first in its own partition.
state_ranking as (
    select s_state, rank() over (partition by s_state order by net_profit desc) as ranking
    from state_profit
),
profits as (
    select
        sum(ss_net_profit) as total_sum,
        s_state,
        s_county,
        grouping(s_state) as state_total,
        grouping(s_county) as county_total
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join store on s_store_sk = ss_store_sk
    where d_month_seq between ${dms} and ${dms} + 11
      and s_state in (select s_state from state_ranking where ranking <= 5)
    group by rollup (s_state, s_county)
),
levels as (
    select
        total_sum,
        s_state,
        s_county,
        state_total + county_total as lochierarchy,
        case when county_total = 0 then s_state end as parent
    from profits
),
ranked as (
    select
        total_sum,
        s_state,
        s_county,
        lochierarchy,
        rank() over (partition by lochierarchy, parent order by total_sum desc) as rank_within_parent
    from levels
)
select total_sum, s_state, s_county, lochierarchy, rank_within_parent
from ranked
order by lochierarchy desc, case when lochierarchy = 0 then s_state end, rank_within_parent
limit 100
