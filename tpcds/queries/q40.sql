-- TPC-DS query 40: catalog sales less refunds, by state and item, in the 30 days before and after a change of price.
-- param sales_date = 2000-03-11
select
    w_state,
    i_item_id,
    sum(
        case
            when d_date < cast('${sales_date}' as date) then cs_sales_price - coalesce(cr_refunded_cash, 0)
            else 0
        end
    ) as sales_before,
    sum(
        case
            when d_date >= cast('${sales_date}' as date) then cs_sales_price - coalesce(cr_refunded_cash, 0)
            else 0
        end
    ) as sales_after
from catalog_sales
left outer join catalog_returns on cs_order_number = cr_order_number and cs_item_sk = cr_item_sk
join warehouse on cs_warehouse_sk = w_warehouse_sk
join item on i_item_sk = cs_item_sk
join date_dim on cs_sold_date_sk = d_date_sk
where i_current_price between 0.99 and 1.49
  and d_date between cast('${sales_date}' as date) - interval '30' day
                 and cast('${sales_date}' as date) + interval '30' day
group by w_state, i_item_id
order by w_state, i_item_id
limit 100
