-- TPC-DS query 82: items of four makers in a price range, sold in stores, of which 100 to 500 were on hand.
-- param invdate = 2000-05-25
-- param price = 62
-- param manufact_id_1 = 129
-- param manufact_id_2 = 270
-- param manufact_id_3 = 821
-- param manufact_id_4 = 423
select i_item_id, i_item_desc, i_current_price
from item
join inventory on inv_item_sk = i_item_sk
join date_dim on d_date_sk = inv_date_sk
join store_sales on ss_item_sk = i_item_sk
where i_current_price between ${price} and ${price} + 30
  and d_date between cast('${invdate}' as date) and cast('${invdate}' as date) + interval '60' day
  and i_manufact_id in (${manufact_id_1}, ${manufact_id_2}, ${manufact_id_3}, ${manufact_id_4})
  and inv_quantity_on_hand between 100 and 500
group by i_item_id, i_item_desc, i_current_price
order by i_item_id
limit 100
