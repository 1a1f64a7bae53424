-- TPC-DS query 25: profit and loss on items bought in a store in April, returned, and bought again by catalog.
-- param year = 2001
-- param agg = sum
select
    i_item_id,
    i_item_desc,
    s_store_id,
    s_store_name,
    ${agg}(ss_net_profit) as store_sales_profit,
    ${agg}(sr_net_loss) as store_returns_loss,
    ${agg}(cs_net_profit) as catalog_sales_profit
from store_sales
join date_dim sold on sold.d_date_sk = ss_sold_date_sk
join store_returns
  on sr_customer_sk = ss_customer_sk and sr_item_sk = ss_item_sk and sr_ticket_number = ss_ticket_number
join date_dim returned on returned.d_date_sk = sr_returned_date_sk
join catalog_sales on cs_bill_customer_sk = sr_customer_sk and cs_item_sk = sr_item_sk
join date_dim sold_again on sold_again.d_date_sk = cs_sold_date_sk
join store on s_store_sk = ss_store_sk
join item on i_item_sk = ss_item_sk
where sold.d_moy = 4
  and sold.d_year = ${year}
  and returned.d_moy between 4 and 10
  and returned.d_year = ${year}
  and sold_again.d_moy between 4 and 10
  and sold_again.d_year = ${year}
group by i_item_id, i_item_desc, s_store_id, s_store_name
order by i_item_id, i_item_desc, s_store_id, s_store_name
limit 100
