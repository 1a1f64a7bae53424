-- TPC-DS query 17: quantities, with their spread, of items bought in a store, returned, and bought again by catalog.
-- param year = 2001
select
    i_item_id,
    i_item_desc,
    s_state,
    count(ss_quantity) as store_sales_quantitycount,
    avg(ss_quantity) as store_sales_quantityave,
    stddev_samp(ss_quantity) as store_sales_quantitystdev,
    stddev_samp(ss_quantity) / avg(ss_quantity) as store_sales_quantitycov,
    count(sr_return_quantity) as store_returns_quantitycount,
    avg(sr_return_quantity) as store_returns_quantityave,
    stddev_samp(sr_return_quantity) as store_returns_quantitystdev,
    stddev_samp(sr_return_quantity) / avg(sr_return_quantity) as store_returns_quantitycov,
    count(cs_quantity) as catalog_sales_quantitycount,
    avg(cs_quantity) as catalog_sales_quantityave,
    stddev_samp(cs_quantity) as catalog_sales_quantitystdev,
    stddev_samp(cs_quantity) / avg(cs_quantity) as catalog_sales_quantitycov
from store_sales
join date_dim sold on sold.d_date_sk = ss_sold_date_sk
join store_returns
  on sr_customer_sk = ss_customer_sk and sr_item_sk = ss_item_sk and sr_ticket_number = ss_ticket_number
join date_dim returned on returned.d_date_sk = sr_returned_date_sk
join catalog_sales on cs_bill_customer_sk = sr_customer_sk and cs_item_sk = sr_item_sk
join date_dim sold_again on sold_again.d_date_sk = cs_sold_date_sk
join store on s_store_sk = ss_store_sk
join item on i_item_sk = ss_item_sk
where sold.d_quarter_name = '${year}Q1'
  and returned.d_quarter_name in ('${year}Q1', '${year}Q2', '${year}Q3')
  and sold_again.d_quarter_name in ('${year}Q1', '${year}Q2', '${year}Q3')
group by i_item_id, i_item_desc, s_state
order by i_item_id, i_item_desc, s_state
limit 100
