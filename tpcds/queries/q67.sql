-- TPC-DS query 67: the hundred best sums of store sales of every category, over a rollup of product, period and store.
-- param dms = 1200
with sales_cube as (
    select
        i_category,
        i_class,
        i_brand,
        i_product_name,
        d_year,
        d_qoy,
        d_moy,
        s_store_id,
        sum(coalesce(ss_sales_price * ss_quantity, 0)) as sumsales
    from store_sales
    join date_dim on d_date_sk = ss_sold_date_sk
    join item on i_item_sk = ss_item_sk
    join store on s_store_sk = ss_store_sk
    where d_month_seq between ${dms} and ${dms} + 11
    group by rollup (i_category, i_class, i_brand, i_product_name, d_year, d_qoy, d_moy, s_store_id)
),
ranked as (
    select
        i_category,
        i_class,
        i_brand,
        i_product_name,
        d_year,
        d_qoy,
        d_moy,
        s_store_id,
        sumsales,
        rank() over (partition by i_category order by sumsales desc) as rk
    from sales_cube
)
select i_category, i_class, i_brand, i_product_name, d_year, d_qoy, d_moy, s_store_id, sumsales, rk
from ranked
where rk <= 100
order by i_category, i_class, i_brand, i_product_name, d_year, d_qoy, d_moy, s_store_id, sumsales, rk
limit 100
