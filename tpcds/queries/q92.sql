-- TPC-DS query 92: a maker's web discounts above 1.3 times the item's average over ninety days.
-- param imid = 350
-- param wsdate = 2000-01-27
select sum(sale.ws_ext_discount_amt) as "Excess Discount Amount"
from web_sales sale
join item on i_item_sk = sale.ws_item_sk
join date_dim on d_date_sk = sale.ws_sold_date_sk
where i_manufact_id = ${imid}
  and d_date between cast('${wsdate}' as date) and cast('${wsdate}' as date) + interval '90' day
  and sale.ws_ext_discount_amt > (
      select 1.3 * avg(peer.ws_ext_discount_amt)
      from web_sales peer
      join date_dim peer_day on peer_day.d_date_sk = peer.ws_sold_date_sk
      where peer.ws_item_sk = i_item_sk
        and peer_day.d_date between cast('${wsdate}' as date) and cast('${wsdate}' as date) + interval '90' day
  )
order by sum(sale.ws_ext_discount_amt)
limit 100
