-- TPC-DS query 45: web sales of a quarter by the buyer's place, for some postal codes or some items.
-- param group_column = ca_city
-- param quarter = 2
-- param year = 2001
select ca_zip, ${group_column}, sum(ws_sales_price) as sales
from web_sales, customer, customer_address, date_dim, item
where ws_bill_customer_sk = c_customer_sk
  and c_current_addr_sk = ca_address_sk
  and ws_item_sk = i_item_sk
  and (
        substr(ca_zip, 1, 5) in (
            '85669', '86197', '88274', '83405', '86475', '85392', '85460', '80348', '81792'
        )
        or i_item_id in (
            select i_item_id
            from item
            where i_item_sk in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
        )
    )
  and ws_sold_date_sk = d_date_sk
  and d_qoy = ${quarter}
  and d_year = ${year}
group by ca_zip, ${group_column}
order by ca_zip, ${group_column}
limit 100
