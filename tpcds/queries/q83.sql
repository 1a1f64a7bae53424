-- TPC-DS query 83: items by units returned in three weeks, with each channel's share of the average.
-- param returned_date_1 = 2000-06-30
-- param returned_date_2 = 2000-09-27
-- param returned_date_3 = 2000-11-17
with days as (
    select d_date_sk
    from date_dim
    where d_week_seq in (
        select d_week_seq
        from date_dim
        where d_date in (
            cast('${returned_date_1}' as date),
            cast('${returned_date_2}' as date),
            cast('${returned_date_3}' as date)
        )
    )
),
sr_items as (
    select i_item_id as item_id, sum(sr_return_quantity) as sr_item_qty
    from store_returns
    join item on i_item_sk = sr_item_sk
    join days on d_date_sk = sr_returned_date_sk
    group by i_item_id
),
cr_items as (
    select i_item_id as item_id, sum(cr_return_quantity) as cr_item_qty
    from catalog_returns
    join item on i_item_sk = cr_item_sk
    join days on d_date_sk = cr_returned_date_sk
    group by i_item_id
),
wr_items as (
    select i_item_id as item_id, sum(wr_return_quantity) as wr_item_qty
    from web_returns
    join item on i_item_sk = wr_item_sk
    join days on d_date_sk = wr_returned_date_sk
    group by i_item_id
)
select
    sr_items.item_id,
    sr_item_qty,
    cast(sr_item_qty as decimal(15,4)) / (sr_item_qty + cr_item_qty + wr_item_qty) / 3.0 * 100 as sr_dev,
    cr_item_qty,
    cast(cr_item_qty as decimal(15,4)) / (sr_item_qty + cr_item_qty + wr_item_qty) / 3.0 * 100 as cr_dev,
    wr_item_qty,
    cast(wr_item_qty as decimal(15,4)) / (sr_item_qty + cr_item_qty + wr_item_qty) / 3.0 * 100 as wr_dev,
    (sr_item_qty + cr_item_qty + wr_item_qty) / 3.0 as average
from sr_items
join cr_items on cr_items.item_id = sr_items.item_id
join wr_items on wr_items.item_id = sr_items.item_id
order by sr_items.item_id, sr_item_qty
limit 100
