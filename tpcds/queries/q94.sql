-- TPC-DS query 94: web orders shipped to a state from more than one warehouse and never returned.
-- param year = 1999
-- param month = 02
-- param state = IL
select
    count(distinct sale.ws_order_number) as "order count",
    sum(sale.ws_ext_ship_cost) as "total shipping cost",
    sum(sale.ws_net_profit) as "total net profit"
from web_sales sale
join date_dim on d_date_sk = sale.ws_ship_date_sk
join customer_address on ca_address_sk = sale.ws_ship_addr_sk
join web_site on web_site_sk = sale.ws_web_site_sk
where d_date between cast('${year}-${month}-01' as date) and cast('${year}-${month}-01' as date) + interval '60' day
  and ca_state = '${state}'
  and web_company_name = 'pri'
  and exists (
      select 1
      from web_sales other
      where other.ws_order_number = sale.ws_order_number
        and other.ws_warehouse_sk <> sale.ws_warehouse_sk
  )
  and not exists (
      select 1
      from web_returns
      where wr_order_number = sale.ws_order_number
  )
order by count(distinct sale.ws_order_number)
limit 100
