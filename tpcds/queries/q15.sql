-- TPC-DS query 15: catalog sales of a quarter by zip code, for given places or expensive purchases.
-- param qoy = 2
-- param year = 2001
select
    ca_zip,
    sum(cs_sales_price) as sum_sales_price
from catalog_sales
join date_dim on d_date_sk = cs_sold_date_sk
join customer on c_customer_sk = cs_bill_customer_sk
join customer_address on ca_address_sk = c_current_addr_sk
where (
      substr(ca_zip, 1, 5) in ('85669', '86197', '88274', '83405', '86475', '85392', '85460', '80348', '81792')
      or ca_state in ('CA', 'WA', 'GA')
      or cs_sales_price > 500
  )
  and d_qoy = ${qoy}
  and d_year = ${year}
group by ca_zip
order by ca_zip
limit 100
