-- TPC-DS query 14: sales of items whose brand, class and category sell in all channels; then two weeks a year apart.
-- param year = 1999
-- param day = 11
with common_class as (
    select i_brand_id, i_class_id, i_category_id
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join item on i_item_sk = ss_item_sk
    where d_year between ${year} and ${year} + 2
    intersect
    select i_brand_id, i_class_id, i_category_id
    from catalog_sales
    join date_dim on d_date_sk = cs_sold_date_sk
    join item on i_item_sk = cs_item_sk
    where d_year between ${year} and ${year} + 2
    intersect
    select i_brand_id, i_class_id, i_category_id
    from web_sales
    join date_dim on d_date_sk = ws_sold_date_sk
    join item on i_item_sk = ws_item_sk
    where d_year between ${year} and ${year} + 2
),
cross_items as (
    select i_item_sk as item_sk
    from item
    join common_class
      on common_class.i_brand_id = item.i_brand_id
     and common_class.i_class_id = item.i_class_id
     and common_class.i_category_id = item.i_category_id
),
avg_sales as (
    select avg(quantity * list_price) as average_sales
    from (
        select ss_quantity as quantity, ss_list_price as list_price
        from store_sales
        join date_dim on d_date_sk = ss_sold_date_sk
        where d_year between ${year} and ${year} + 2
        union all
        select cs_quantity, cs_list_price
        from catalog_sales
        join date_dim on d_date_sk = cs_sold_date_sk
        where d_year between ${year} and ${year} + 2
        union all
        select ws_quantity, ws_list_price
        from web_sales
        join date_dim on d_date_sk = ws_sold_date_sk
        where d_year between ${year} and ${year} + 2
    ) all_sales
),
channel_sales as (
    select
        'store' as channel,
        i_brand_id,
        i_class_id,
        i_category_id,
        sum(ss_quantity * ss_list_price) as sales,
        count(*) as number_sales
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join item on i_item_sk = ss_item_sk
    where ss_item_sk in (select item_sk from cross_items)
      and d_year = ${year} + 2
      and d_moy = 11
    group by i_brand_id, i_class_id, i_category_id
    having sum(ss_quantity * ss_list_price) > (select average_sales from avg_sales)
    union all
    select
        'catalog',
        i_brand_id,
        i_class_id,
        i_category_id,
        sum(cs_quantity * cs_list_price),
        count(*)
    from catalog_sales
    join date_dim on d_date_sk = cs_sold_date_sk
    join item on i_item_sk = cs_item_sk
    where cs_item_sk in (select item_sk from cross_items)
      and d_year = ${year} + 2
      and d_moy = 11
    group by i_brand_id, i_class_id, i_category_id
    having sum(cs_quantity * cs_list_price) > (select average_sales from avg_sales)
    union all
    select
        'web',
        i_brand_id,
        i_class_id,
        i_category_id,
        sum(ws_quantity * ws_list_price),
        count(*)
    from web_sales
    join date_dim on d_date_sk = ws_sold_date_sk
    join item on i_item_sk = ws_item_sk
    where ws_item_sk in (select item_sk from cross_items)
      and d_year = ${year} + 2
      and d_moy = 11
    group by i_brand_id, i_class_id, i_category_id
    having sum(ws_quantity * ws_list_price) > (select average_sales from avg_sales)
)
select
    channel,
    i_brand_id,
    i_class_id,
    i_category_id,
    sum(sales) as sum_sales,
    sum(number_sales) as number_sales
from channel_sales
group by rollup (channel, i_brand_id, i_class_id, i_category_id)
order by channel, i_brand_id, i_class_id, i_category_id
limit 100
;
with common_class as (
    select i_brand_id, i_class_id, i_category_id
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join item on i_item_sk = ss_item_sk
    where d_year between ${year} and ${year} + 2
    intersect
    select i_brand_id, i_class_id, i_category_id
    from catalog_sales
    join date_dim on d_date_sk = cs_sold_date_sk
    join item on i_item_sk = cs_item_sk
    where d_year between ${year} and ${year} + 2
    intersect
    select i_brand_id, i_class_id, i_category_id
    from web_sales
    join date_dim on d_date_sk = ws_sold_date_sk
    join item on i_item_sk = ws_item_sk
    where d_year between ${year} and ${year} + 2
),
cross_items as (
    select i_item_sk as item_sk
    from item
    join common_class
      on common_class.i_brand_id = item.i_brand_id
     and common_class.i_class_id = item.i_class_id
     and common_class.i_category_id = item.i_category_id
),
avg_sales as (
    select avg(quantity * list_price) as average_sales
    from (
        select ss_quantity as quantity, ss_list_price as list_price
        from store_sales
        join date_dim on d_date_sk = ss_sold_date_sk
        where d_year between ${year} and ${year} + 2
        union all
        select cs_quantity, cs_list_price
        from catalog_sales
        join date_dim on d_date_sk = cs_sold_date_sk
        where d_year between ${year} and ${year} + 2
        union all
        select ws_quantity, ws_list_price
        from web_sales
        join date_dim on d_date_sk = ws_sold_date_sk
        where d_year between ${year} and ${year} + 2
    ) all_sales
),
this_year as (
    select
        'store' as channel,
        i_brand_id,
        i_class_id,
        i_category_id,
        sum(ss_quantity * ss_list_price) as sales,
        count(*) as number_sales
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join item on i_item_sk = ss_item_sk
    where ss_item_sk in (select item_sk from cross_items)
      and d_week_seq = (
          select d_week_seq
          from date_dim
          where d_year = ${year} + 1
            and d_moy = 12
            and d_dom = ${day}
      )
    group by i_brand_id, i_class_id, i_category_id
    having sum(ss_quantity * ss_list_price) > (select average_sales from avg_sales)
),
last_year as (
    select
        'store' as channel,
        i_brand_id,
        i_class_id,
        i_category_id,
        sum(ss_quantity * ss_list_price) as sales,
        count(*) as number_sales
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join item on i_item_sk = ss_item_sk
    where ss_item_sk in (select item_sk from cross_items)
      and d_week_seq = (
          select d_week_seq
          from date_dim
          where d_year = ${year}
            and d_moy = 12
            and d_dom = ${day}
      )
    group by i_brand_id, i_class_id, i_category_id
    having sum(ss_quantity * ss_list_price) > (select average_sales from avg_sales)
)
select
    this_year.channel as ty_channel,
    this_year.i_brand_id as ty_brand,
    this_year.i_class_id as ty_class,
    this_year.i_category_id as ty_category,
    this_year.sales as ty_sales,
    this_year.number_sales as ty_number_sales,
    last_year.channel as ly_channel,
    last_year.i_brand_id as ly_brand,
    last_year.i_class_id as ly_class,
    last_year.i_category_id as ly_category,
    last_year.sales as ly_sales,
    last_year.number_sales as ly_number_sales
from this_year
join last_year
  on last_year.i_brand_id = this_year.i_brand_id
 and last_year.i_class_id = this_year.i_class_id
 and last_year.i_category_id = this_year.i_category_id
order by ty_channel, ty_brand, ty_class, ty_category
limit 100
