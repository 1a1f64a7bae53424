-- TPC-DS query 95: web orders shipped to a state from more than one warehouse and returned.
-- param year = 1999
-- param month = 02
-- param state = IL
with split_orders as (
    select one.ws_order_number
    from web_sales one
    join web_sales other on other.ws_order_number = one.ws_order_number
    where one.ws_warehouse_sk <> other.ws_warehouse_sk
)
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
  and sale.ws_order_number in (select ws_order_number from split_orders)
  and sale.ws_order_number in (
      select wr_order_number
      from web_returns
      join split_orders on split_orders.ws_order_number = wr_order_number
  )
order by count(distinct sale.ws_order_number)
limit 100
