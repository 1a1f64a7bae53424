-- TPC-DS query 6: states where ten or more items priced above 1.2 times their category's average sold in a month.
-- param month = 1
-- param year = 2001
select
    ca_state as state,
    count(*) as cnt
from store_sales
join date_dim on d_date_sk = ss_sold_date_sk
join item i on i.i_item_sk = ss_item_sk
join customer on c_customer_sk = ss_customer_sk
join customer_address on ca_address_sk = c_current_addr_sk
where d_month_seq = (
      select distinct d_month_seq
      from date_dim
      where d_year = ${year}
        and d_moy = ${month}
  )
  and i.i_current_price > 1.2 * (
      select avg(peer.i_current_price)
      from item peer
      where peer.i_category = i.i_category
  )
group by ca_state
having count(*) >= 10
order by cnt, state
limit 100
