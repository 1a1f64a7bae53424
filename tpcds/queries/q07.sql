-- TPC-DS query 7: average quantity and prices of items sold on promotion in stores to one group of customers.
-- param year = 2000
-- param gender = M
-- param marital_status = S
-- param education = College
select
    i_item_id,
    avg(ss_quantity) as agg1,
    avg(ss_list_price) as agg2,
    avg(ss_coupon_amt) as agg3,
    avg(ss_sales_price) as agg4
from store_sales
join date_dim on d_date_sk = ss_sold_date_sk
join customer_demographics on cd_demo_sk = ss_cdemo_sk
join promotion on p_promo_sk = ss_promo_sk
join item on i_item_sk = ss_item_sk
where cd_gender = '${gender}'
  and cd_marital_status = '${marital_status}'
  and cd_education_status = '${education}'
  and (p_channel_email = 'N' or p_channel_event = 'N')
  and d_year = ${year}
group by i_item_id
order by i_item_id
limit 100
