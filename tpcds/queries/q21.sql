-- TPC-DS query 21: items whose stock in a warehouse 30 days after a date is between 2/3 and 3/2 of that 30 days before.
-- param sales_date = 2000-03-11
select
    w_warehouse_name,
    i_item_id,
    inv_before,
    inv_after
from (
    select
        w_warehouse_name,
        i_item_id,
        sum(case when d_date < cast('${sales_date}' as date) then inv_quantity_on_hand else 0 end) as inv_before,
        sum(case when d_date >= cast('${sales_date}' as date) then inv_quantity_on_hand else 0 end) as inv_after
    from inventory
    join date_dim on d_date_sk = inv_date_sk
    join item on i_item_sk = inv_item_sk
    join warehouse on w_warehouse_sk = inv_warehouse_sk
    where i_current_price between 0.99 and 1.49
      and d_date between cast('${sales_date}' as date) - interval '30' day
                     and cast('${sales_date}' as date) + interval '30' day
    group by w_warehouse_name, i_item_id
) stock
-- The ratio is that of real numbers: whole numbers would divide to whole numbers.
where case when inv_before > 0 then cast(inv_after as double) / inv_before end between 2.0 / 3.0 and 3.0 / 2.0
order by w_warehouse_name, i_item_id
limit 100
