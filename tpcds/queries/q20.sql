-- TPC-DS query 20: revenue of items in the catalog in 30 days, and its share of the item's class.
-- param category_1 = Sports
-- param category_2 = Books
-- param category_3 = Home
-- param start_date = 1999-02-22
select
    i_item_id,
    i_item_desc,
    i_category,
    i_class,
    i_current_price,
    sum(cs_ext_sales_price) as itemrevenue,
    sum(cs_ext_sales_price) * 100 / sum(sum(cs_ext_sales_price)) over (partition by i_class) as revenueratio
from catalog_sales
join date_dim on d_date_sk = cs_sold_date_sk
join item on i_item_sk = cs_item_sk
where i_category in ('${category_1}', '${category_2}', '${category_3}')
  and d_date between cast('${start_date}' as date) and cast('${start_date}' as date) + interval '30' day
group by i_item_id, i_item_desc, i_category, i_class, i_current_price
order by i_category, i_class, i_item_id, i_item_desc, revenueratio
limit 100
