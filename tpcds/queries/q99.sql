-- TPC-DS query 99: catalog orders by warehouse, ship mode and call center, counted by days from sale to shipping.
-- param dms = 1200
select
    substr(w_warehouse_name, 1, 20) as warehouse,
    sm_type,
    cc_name,
    sum(case when cs_ship_date_sk - cs_sold_date_sk <= 30 then 1 else 0 end) as "30 days",
    sum(
        case when cs_ship_date_sk - cs_sold_date_sk > 30 and cs_ship_date_sk - cs_sold_date_sk <= 60 then 1 else 0 end
    ) as "31-60 days",
    sum(
        case when cs_ship_date_sk - cs_sold_date_sk > 60 and cs_ship_date_sk - cs_sold_date_sk <= 90 then 1 else 0 end
    ) as "61-90 days",
    sum(
        case when cs_ship_date_sk - cs_sold_date_sk > 90 and cs_ship_date_sk - cs_sold_date_sk <= 120 then 1 else 0 end
    ) as "91-120 days",
    sum(case when cs_ship_date_sk - cs_sold_date_sk > 120 then 1 else 0 end) as ">120 days"
from catalog_sales
join date_dim on d_date_sk = cs_ship_date_sk
join warehouse on w_warehouse_sk = cs_warehouse_sk
join ship_mode on sm_ship_mode_sk = cs_ship_mode_sk
join call_center on cc_call_center_sk = cs_call_center_sk
where d_month_seq between ${dms} and ${dms} + 11
group by substr(w_warehouse_name, 1, 20), sm_type, cc_name
order by warehouse, sm_type, cc_name
limit 100
