-- TPC-DS query 72: catalog sales that the week's inventory could not fill, with and without promotion.
-- param bp = >10000
-- param ms = D
-- param year = 1999
select
    i_item_desc,
    w_warehouse_name,
    sold.d_week_seq,
    sum(case when p_promo_sk is null then 1 else 0 end) as no_promo,
    sum(case when p_promo_sk is not null then 1 else 0 end) as promo,
    count(*) as total_cnt
from catalog_sales
-- the joins that leave few sales come first: each sale meets several hundred rows of the inventory
join date_dim sold on sold.d_date_sk = cs_sold_date_sk
join household_demographics on hd_demo_sk = cs_bill_hdemo_sk
join customer_demographics on cd_demo_sk = cs_bill_cdemo_sk
join date_dim shipped on shipped.d_date_sk = cs_ship_date_sk
join date_dim counted on counted.d_week_seq = sold.d_week_seq
join inventory on inv_item_sk = cs_item_sk and inv_date_sk = counted.d_date_sk
join warehouse on w_warehouse_sk = inv_warehouse_sk
join item on i_item_sk = cs_item_sk
left join promotion on p_promo_sk = cs_promo_sk
left join catalog_returns on cr_item_sk = cs_item_sk and cr_order_number = cs_order_number
where inv_quantity_on_hand < cs_quantity
  and shipped.d_date > sold.d_date + interval '5' day
  and hd_buy_potential = '${bp}'
  and sold.d_year = ${year}
  and cd_marital_status = '${ms}'
group by i_item_desc, w_warehouse_name, sold.d_week_seq
order by total_cnt desc, i_item_desc, w_warehouse_name, sold.d_week_seq
limit 100
