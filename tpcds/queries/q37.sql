-- TPC-DS query 37: catalog items of some makers in a price range, with 100 to 500 on hand within 60 days of a date.
-- param price = 68
-- param inventory_date = 2000-02-01
-- param manufact_1 = 677
-- param manufact_2 = 940
-- param manufact_3 = 694
-- param manufact_4 = 808
select i_item_id, i_item_desc, i_current_price
from item, inventory, date_dim, catalog_sales
where i_current_price between ${price} and ${price} + 30
  and inv_item_sk = i_item_sk
  and d_date_sk = inv_date_sk
  and d_date between cast('${inventory_date}' as date) and cast('${inventory_date}' as date) + interval '60' day
  and i_manufact_id in (${manufact_1}, ${manufact_2}, ${manufact_3}, ${manufact_4})
  and inv_quantity_on_hand between 100 and 500
  and cs_item_sk = i_item_sk
group by i_item_id, i_item_desc, i_current_price
order by i_item_id
limit 100
