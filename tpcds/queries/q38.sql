-- TPC-DS query 38: number of customers and days on which they bought through all three channels, over a year.
-- param month_seq = 1200
with hot_customers as (
    select distinct c_last_name, c_first_name, d_date
    from store_sales, date_dim, customer
    where ss_sold_date_sk = d_date_sk
      and ss_customer_sk = c_customer_sk
      and d_month_seq between ${month_seq} and ${month_seq} + 11
    intersect
    select distinct c_last_name, c_first_name, d_date
    from catalog_sales, date_dim, customer
    where cs_sold_date_sk = d_date_sk
      and cs_bill_customer_sk = c_customer_sk
      and d_month_seq between ${month_seq} and ${month_seq} + 11
    intersect
    select distinct c_last_name, c_first_name, d_date
    from web_sales, date_dim, customer
    where ws_sold_date_sk = d_date_sk
      and ws_bill_customer_sk = c_customer_sk
      and d_month_seq between ${month_seq} and ${month_seq} + 11
)
select count(*) as customers
from hot_customers
limit 100
