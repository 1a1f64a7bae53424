-- TPC-DS query 49: each channel's items with the lowest ratios of returned to sold quantity and amount, in a month.
-- param year = 2001
-- param month = 12
with web_ratios as (
    select
        ws_item_sk as item,
        cast(sum(coalesce(wr_return_quantity, 0)) as decimal(15,4))
            / cast(sum(coalesce(ws_quantity, 0)) as decimal(15,4)) as return_ratio,
        cast(sum(coalesce(wr_return_amt, 0)) as decimal(15,4))
            / cast(sum(coalesce(ws_net_paid, 0)) as decimal(15,4)) as currency_ratio
    from web_sales
    left outer join web_returns on ws_order_number = wr_order_number and ws_item_sk = wr_item_sk
    join date_dim on ws_sold_date_sk = d_date_sk
    where wr_return_amt > 10000
      and ws_net_profit > 1
      and ws_net_paid > 0
      and ws_quantity > 0
      and d_year = ${year}
      and d_moy = ${month}
    group by ws_item_sk
),
web_ranks as (
    select
        item,
        return_ratio,
        rank() over (order by return_ratio) as return_rank,
        rank() over (order by currency_ratio) as currency_rank
    from web_ratios
),
catalog_ratios as (
    select
        cs_item_sk as item,
        cast(sum(coalesce(cr_return_quantity, 0)) as decimal(15,4))
            / cast(sum(coalesce(cs_quantity, 0)) as decimal(15,4)) as return_ratio,
        cast(sum(coalesce(cr_return_amount, 0)) as decimal(15,4))
            / cast(sum(coalesce(cs_net_paid, 0)) as decimal(15,4)) as currency_ratio
    from catalog_sales
    left outer join catalog_returns on cs_order_number = cr_order_number and cs_item_sk = cr_item_sk
    join date_dim on cs_sold_date_sk = d_date_sk
    where cr_return_amount > 10000
      and cs_net_profit > 1
      and cs_net_paid > 0
      and cs_quantity > 0
      and d_year = ${year}
      and d_moy = ${month}
    group by cs_item_sk
),
catalog_ranks as (
    select
        item,
        return_ratio,
        rank() over (order by return_ratio) as return_rank,
        rank() over (order by currency_ratio) as currency_rank
    from catalog_ratios
),
store_ratios as (
    select
        ss_item_sk as item,
        cast(sum(coalesce(sr_return_quantity, 0)) as decimal(15,4))
            / cast(sum(coalesce(ss_quantity, 0)) as decimal(15,4)) as return_ratio,
        cast(sum(coalesce(sr_return_amt, 0)) as decimal(15,4))
            / cast(sum(coalesce(ss_net_paid, 0)) as decimal(15,4)) as currency_ratio
    from store_sales
    left outer join store_returns on ss_ticket_number = sr_ticket_number and ss_item_sk = sr_item_sk
    join date_dim on ss_sold_date_sk = d_date_sk
    where sr_return_amt > 10000
      and ss_net_profit > 1
      and ss_net_paid > 0
      and ss_quantity > 0
      and d_year = ${year}
      and d_moy = ${month}
    group by ss_item_sk
),
store_ranks as (
    select
        item,
        return_ratio,
        rank() over (order by return_ratio) as return_rank,
        rank() over (order by currency_ratio) as currency_rank
    from store_ratios
)
select 'web' as channel, item, return_ratio, return_rank, currency_rank
from web_ranks
where return_rank <= 10 or currency_rank <= 10
union
select 'catalog' as channel, item, return_ratio, return_rank, currency_rank
from catalog_ranks
where return_rank <= 10 or currency_rank <= 10
union
select 'store' as channel, item, return_ratio, return_rank, currency_rank
from store_ranks
where return_rank <= 10 or currency_rank <= 10
order by channel, return_rank, currency_rank, item
limit 100
