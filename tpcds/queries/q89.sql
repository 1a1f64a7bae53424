-- TPC-DS query 89: months in which a class's sales in a store stray more than a tenth from their monthly average.
-- param year = 1999
-- param cat_a = Books
-- param class_a = computers
-- param cat_b = Electronics
-- param class_b = stereo
-- param cat_c = Sports
-- param class_c = football
-- param cat_d = Men
-- param class_d = shirts
-- param cat_e = Jewelry
-- param class_e = birdal
-- param cat_f = Women
-- param class_f = dresses
with monthly as (
    select
        i_category,
        i_class,
        i_brand,
        s_store_name,
        s_company_name,
        d_moy,
        sum(ss_sales_price) as sum_sales
    from store_sales
    join item on i_item_sk = ss_item_sk
    join date_dim on d_date_sk = ss_sold_date_sk
    join store on s_store_sk = ss_store_sk
    where d_year = ${year}
      and (
          (
              i_category in ('${cat_a}', '${cat_b}', '${cat_c}')
              and i_class in ('${class_a}', '${class_b}', '${class_c}')
          )
          or (
              i_category in ('${cat_d}', '${cat_e}', '${cat_f}')
              and i_class in ('${class_d}', '${class_e}', '${class_f}')
          )
      )
    group by i_category, i_class, i_brand, s_store_name, s_company_name, d_moy
),
with_average as (
    select
        i_category,
        i_class,
        i_brand,
        s_store_name,
        s_company_name,
        d_moy,
        sum_sales,
        avg(sum_sales) over (
            partition by i_category, i_brand, s_store_name, s_company_name
        ) as avg_monthly_sales
    from monthly
)
select
    i_category,
    i_class,
    i_brand,
    s_store_name,
    s_company_name,
    d_moy,
    sum_sales,
    avg_monthly_sales
from with_average
where case when avg_monthly_sales <> 0 then abs(sum_sales - avg_monthly_sales) / avg_monthly_sales end > 0.1
order by sum_sales - avg_monthly_sales, s_store_name
limit 100
