-- TPC-DS query 58: items whose revenues of a week through the three channels are within a tenth of one another.
-- param sales_date = 2000-01-03
with store_items as (
    select i_item_id as item_id, sum(ss_ext_sales_price) as revenue
    from store_sales, item, date_dim
    where ss_item_sk = i_item_sk
      and d_date in (
          select d_date
          from date_dim
          where d_week_seq = (select d_week_seq from date_dim where d_date = cast('${sales_date}' as date))
      )
      and ss_sold_date_sk = d_date_sk
    group by i_item_id
),
catalog_items as (
    select i_item_id as item_id, sum(cs_ext_sales_price) as revenue
    from catalog_sales, item, date_dim
    where cs_item_sk = i_item_sk
      and d_date in (
          select d_date
          from date_dim
          where d_week_seq = (select d_week_seq from date_dim where d_date = cast('${sales_date}' as date))
      )
      and cs_sold_date_sk = d_date_sk
    group by i_item_id
),
web_items as (
    select i_item_id as item_id, sum(ws_ext_sales_price) as revenue
    from web_sales, item, date_dim
    where ws_item_sk = i_item_sk
      and d_date in (
          select d_date
          from date_dim
          where d_week_seq = (select d_week_seq from date_dim where d_date = cast('${sales_date}' as date))
      )
      and ws_sold_date_sk = d_date_sk
    group by i_item_id
)
select
    s.item_id,
    s.revenue as ss_item_rev,
    s.revenue / ((s.revenue + c.revenue + w.revenue) / 3) * 100 as ss_dev,
    c.revenue as cs_item_rev,
    c.revenue / ((s.revenue + c.revenue + w.revenue) / 3) * 100 as cs_dev,
    w.revenue as ws_item_rev,
    w.revenue / ((s.revenue + c.revenue + w.revenue) / 3) * 100 as ws_dev,
    ((s.revenue + c.revenue + w.revenue) / 3) as average
from store_items s, catalog_items c, web_items w
where s.item_id = c.item_id
  and s.item_id = w.item_id
  and s.revenue between 0.9 * c.revenue and 1.1 * c.revenue
  and s.revenue between 0.9 * w.revenue and 1.1 * w.revenue
  and c.revenue between 0.9 * s.revenue and 1.1 * s.revenue
  and c.revenue between 0.9 * w.revenue and 1.1 * w.revenue
  and w.revenue between 0.9 * s.revenue and 1.1 * s.revenue
  and w.revenue between 0.9 * c.revenue and 1.1 * c.revenue
order by s.item_id, ss_item_rev
limit 100
