-- TPC-DS query 16: catalog orders shipped to a state from more than one warehouse and never returned.
-- param start_date = 2002-02-01
-- param state = GA
-- param county_1 = Williamson County
-- param county_2 = Williamson County
-- param county_3 = Williamson County
-- param county_4 = Williamson County
-- param county_5 = Williamson County
select
    count(distinct sale.cs_order_number) as "order count",
    sum(sale.cs_ext_ship_cost) as "total shipping cost",
    sum(sale.cs_net_profit) as "total net profit"
from catalog_sales sale
join date_dim on d_date_sk = sale.cs_ship_date_sk
join customer_address on ca_address_sk = sale.cs_ship_addr_sk
join call_center on cc_call_center_sk = sale.cs_call_center_sk
where d_date between cast('${start_date}' as date) and cast('${start_date}' as date) + interval '60' day
  and ca_state = '${state}'
  and cc_county in ('${county_1}', '${county_2}', '${county_3}', '${county_4}', '${county_5}')
  and exists (
      select *
      from catalog_sales other
      where other.cs_order_number = sale.cs_order_number
        and other.cs_warehouse_sk <> sale.cs_warehouse_sk
  )
  and not exists (
      select *
      from catalog_returns
      where cr_order_number = sale.cs_order_number
  )
order by "order count"
limit 100
