-- TPC-DS query 23: a month's catalog and web sales of often sold items to the best customers: in total; by customer.
-- param year = 2000
-- param month = 2
-- param top_percent = 50
with frequent_item as (
    select i_item_sk as item_sk
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join item on i_item_sk = ss_item_sk
    where d_year in (${year}, ${year} + 1, ${year} + 2, ${year} + 3)
    group by substr(i_item_desc, 1, 30), i_item_sk, d_date
    having count(*) > 4
),
max_store_sales as (
    select max(csales) as cmax
    from (
        select sum(ss_quantity * ss_sales_price) as csales
        from store_sales
        join date_dim on d_date_sk = ss_sold_date_sk
        join customer on c_customer_sk = ss_customer_sk
        where d_year in (${year}, ${year} + 1, ${year} + 2, ${year} + 3)
        group by c_customer_sk
    ) customer_sales
),
best_customer as (
    select c_customer_sk as customer_sk
    from store_sales
    join customer on c_customer_sk = ss_customer_sk
    group by c_customer_sk
    having sum(ss_quantity * ss_sales_price) > (${top_percent} / 100.0) * (select cmax from max_store_sales)
)
select sum(sales) as sales
from (
    select cs_quantity * cs_list_price as sales
    from catalog_sales
    join date_dim on d_date_sk = cs_sold_date_sk
    where d_year = ${year}
      and d_moy = ${month}
      and cs_item_sk in (select item_sk from frequent_item)
      and cs_bill_customer_sk in (select customer_sk from best_customer)
    union all
    select ws_quantity * ws_list_price
    from web_sales
    join date_dim on d_date_sk = ws_sold_date_sk
    where d_year = ${year}
      and d_moy = ${month}
      and ws_item_sk in (select item_sk from frequent_item)
      and ws_bill_customer_sk in (select customer_sk from best_customer)
) month_sales
limit 100
;
with frequent_item as (
    select i_item_sk as item_sk
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join item on i_item_sk = ss_item_sk
    where d_year in (${year}, ${year} + 1, ${year} + 2, ${year} + 3)
    group by substr(i_item_desc, 1, 30), i_item_sk, d_date
    having count(*) > 4
),
max_store_sales as (
    select max(csales) as cmax
    from (
        select sum(ss_quantity * ss_sales_price) as csales
        from store_sales
        join date_dim on d_date_sk = ss_sold_date_sk
        join customer on c_customer_sk = ss_customer_sk
        where d_year in (${year}, ${year} + 1, ${year} + 2, ${year} + 3)
        group by c_customer_sk
    ) customer_sales
),
best_customer as (
    select c_customer_sk as customer_sk
    from store_sales
    join customer on c_customer_sk = ss_customer_sk
    group by c_customer_sk
    having sum(ss_quantity * ss_sales_price) > (${top_percent} / 100.0) * (select cmax from max_store_sales)
)
select c_last_name, c_first_name, sales
from (
    select
        c_last_name,
        c_first_name,
        sum(cs_quantity * cs_list_price) as sales
    from catalog_sales
    join date_dim on d_date_sk = cs_sold_date_sk
    join customer on c_customer_sk = cs_bill_customer_sk
    where d_year = ${year}
      and d_moy = ${month}
      and cs_item_sk in (select item_sk from frequent_item)
      and cs_bill_customer_sk in (select customer_sk from best_customer)
    group by c_last_name, c_first_name
    union all
    select
        c_last_name,
        c_first_name,
        sum(ws_quantity * ws_list_price)
    from web_sales
    join date_dim on d_date_sk = ws_sold_date_sk
    join customer on c_customer_sk = ws_bill_customer_sk
    where d_year = ${year}
      and d_moy = ${month}
      and ws_item_sk in (select item_sk from frequent_item)
      and ws_bill_customer_sk in (select customer_sk from best_customer)
    group by c_last_name, c_first_name
) customer_month
order by c_last_name, c_first_name, sales
limit 100
