-- TPC-DS query 12: revenue of items on the web in 30 days, and its share of the item's class.
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
    sum(ws_ext_sales_price) as itemrevenue,
    sum(ws_ext_sales_price) * 100 / sum(sum(ws_ext_sales_price)) over (partition by i_class) as revenueratio
from web_sales
join date_dim on d_date_sk = ws_sold_date_sk
join item on i_item_sk = ws_item_sk
where i_category in ('${category_1}', '${category_2}', '${category_3}')
  and d_date between cast('${start_date}' as date) and cast('${start_date}' as date) + interval '30' day
group by i_item_id, i_item_desc, i_category, i_class, i_current_price
order by i_category, i_class, i_item_id, i_item_desc, revenueratio
limit 100
