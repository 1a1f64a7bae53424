-- TPC-DS query 1: customers whose returns at a store exceed 1.2 times that store's average.
-- param year = 2000
-- param state = TN
-- param agg_field = sr_return_amt
with customer_store_return as (
    select
        sr_customer_sk as customer_sk,
        sr_store_sk as store_sk,
        sum(${agg_field}) as total_return
    from store_returns
    join date_dim on d_date_sk = sr_returned_date_sk
    where d_year = ${year}
    group by sr_customer_sk, sr_store_sk
)
select c_customer_id
from customer_store_return r
join store on s_store_sk = r.store_sk
join customer on c_customer_sk = r.customer_sk
where s_state = '${state}'
  and r.total_return > (
      select avg(peer.total_return) * 1.2
      from customer_store_return peer
      where peer.store_sk = r.store_sk
  )
order by c_customer_id
limit 100
