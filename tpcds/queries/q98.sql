-- TPC-DS query 98: store revenue of items of three categories in thirty days, and its share of the class's revenue.
-- param sdate = 1999-02-22
-- param category_1 = Sports
-- param category_2 = Books
-- param category_3 = Home
select
    i_item_id,
    i_item_desc,
    i_category,
    i_class,
    i_current_price,
    sum(ss_ext_sales_price) as itemrevenue,
    sum(ss_ext_sales_price) * 100 / sum(sum(ss_ext_sales_price)) over (partition by i_class) as revenueratio
from store_sales
join item on i_item_sk = ss_item_sk
join date_dim on d_date_sk = ss_sold_date_sk
where i_category in ('${category_1}', '${category_2}', '${category_3}')
  and d_date between cast('${sdate}' as date) and cast('${sdate}' as date) + interval '30' day
group by i_item_id, i_item_desc, i_category, i_class, i_current_price
order by i_category, i_class, i_item_id, i_item_desc, revenueratio
