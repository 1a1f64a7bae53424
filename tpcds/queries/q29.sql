-- TPC-DS query 29: quantities of items bought in a store, returned soon after, and bought again by catalog.
-- param year = 1999
-- param month = 9
-- param agg = sum
select
    i_item_id,
    i_item_desc,
    s_store_id,
    s_store_name,
    ${agg}(ss_quantity) as store_sales_quantity,
    ${agg}(sr_return_quantity) as store_returns_quantity,
    ${agg}(cs_quantity) as catalog_sales_quantity
from store_sales
join date_dim sold on sold.d_date_sk = ss_sold_date_sk
join store_returns
  on sr_customer_sk = ss_customer_sk and sr_item_sk = ss_item_sk and sr_ticket_number = ss_ticket_number
join date_dim returned on returned.d_date_sk = sr_returned_date_sk
join catalog_sales on cs_bill_customer_sk = sr_customer_sk and cs_item_sk = sr_item_sk
join date_dim sold_again on sold_again.d_date_sk = cs_sold_date_sk
join store on s_store_sk = ss_store_sk
join item on i_item_sk = ss_item_sk
where sold.d_moy = ${month}
  and sold.d_year = ${year}
  and returned.d_moy between ${month} and ${month} + 3
  and returned.d_year = ${year}
  and sold_again.d_year in (${year}, ${year} + 1, ${year} + 2)
group by i_item_id, i_item_desc, s_store_id, s_store_name
order by i_item_id, i_item_desc, s_store_id, s_store_name
limit 100
