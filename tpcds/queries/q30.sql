-- TPC-DS query 30: customers of a state whose web returns exceed 1.2 times the average of the state they returned from.
-- param year = 2002
-- param state = GA
with customer_state_return as (
    select
        wr_returning_customer_sk as customer_sk,
        ca_state as state,
        sum(wr_return_amt) as total_return
    from web_returns
    join date_dim on d_date_sk = wr_returned_date_sk
    join customer_address on ca_address_sk = wr_returning_addr_sk
    where d_year = ${year}
    group by wr_returning_customer_sk, ca_state
)
select
    c_customer_id,
    c_salutation,
    c_first_name,
    c_last_name,
    c_preferred_cust_flag,
    c_birth_day,
    c_birth_month,
    c_birth_year,
    c_birth_country,
    c_login,
    c_email_address,
    c_last_review_date_sk,
    r.total_return as ctr_total_return
from customer_state_return r
join customer on c_customer_sk = r.customer_sk
join customer_address on ca_address_sk = c_current_addr_sk
where ca_state = '${state}'
  and r.total_return > (
      select avg(peer.total_return) * 1.2
      from customer_state_return peer
      where peer.state = r.state
  )
order by
    c_customer_id, c_salutation, c_first_name, c_last_name, c_preferred_cust_flag,
    c_birth_day, c_birth_month, c_birth_year, c_birth_country,
    c_login, c_email_address, c_last_review_date_sk, ctr_total_return
limit 100
