-- TPC-DS query 22: average quantity on hand over twelve months, by product, brand, class and category, with subtotals.
-- param dms = 1200
select
    i_product_name,
    i_brand,
    i_class,
    i_category,
    avg(inv_quantity_on_hand) as qoh
from inventory
join date_dim on d_date_sk = inv_date_sk
join item on i_item_sk = inv_item_sk
where d_month_seq between ${dms} and ${dms} + 11
group by rollup (i_product_name, i_brand, i_class, i_category)
order by qoh, i_product_name, i_brand, i_class, i_category
limit 100
