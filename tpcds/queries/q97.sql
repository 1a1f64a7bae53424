-- TPC-DS query 97: how many customers bought an item in a year only in stores, only by catalog, or both.
-- param dms = 1200
with store_pairs as (
    select ss_customer_sk as customer_sk, ss_item_sk as item_sk
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    where d_month_seq between ${dms} and ${dms} + 11
    group by ss_customer_sk, ss_item_sk
),
catalog_pairs as (
    select cs_bill_customer_sk as customer_sk, cs_item_sk as item_sk
    from catalog_sales
    join date_dim on d_date_sk = cs_sold_date_sk
    where d_month_seq between ${dms} and ${dms} + 11
    group by cs_bill_customer_sk, cs_item_sk
)
select
    sum(case when s.customer_sk is not null and c.customer_sk is null then 1 else 0 end) as store_only,
    sum(case when s.customer_sk is null and c.customer_sk is not null then 1 else 0 end) as catalog_only,
    sum(case when s.customer_sk is not null and c.customer_sk is not null then 1 else 0 end) as store_and_catalog
from store_pairs s
full join catalog_pairs c on c.customer_sk = s.customer_sk and c.item_sk = s.item_sk
limit 100
