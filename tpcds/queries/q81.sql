-- TPC-DS query 81: a state's customers whose catalog returns exceed 1.2 times the average where they returned.
-- param year = 2000
-- param state = GA
with customer_total_return as (
    select
        cr_returning_customer_sk as customer_sk,
        ca_state as state,
        sum(cr_return_amt_inc_tax) as total_return
    from catalog_returns
    join date_dim on d_date_sk = cr_returned_date_sk
    join customer_address on ca_address_sk = cr_returning_addr_sk
    where d_year = ${year}
    group by cr_returning_customer_sk, ca_state
)
select
    c_customer_id,
    c_salutation,
    c_first_name,
    c_last_name,
    ca_street_number,
    ca_street_name,
    ca_street_type,
    ca_suite_number,
    ca_city,
    ca_county,
    ca_state,
    ca_zip,
    ca_country,
    ca_gmt_offset,
    ca_location_type,
    r.total_return
from customer_total_return r
join customer on c_customer_sk = r.customer_sk
join customer_address on ca_address_sk = c_current_addr_sk
where ca_state = '${state}'
  and r.total_return > (
      select avg(peer.total_return) * 1.2
      from customer_total_return peer
      where peer.state = r.state
  )
order by
    c_customer_id,
    c_salutation,
    c_first_name,
    c_last_name,
    ca_street_number,
    ca_street_name,
    ca_street_type,
    ca_suite_number,
    ca_city,
    ca_county,
    ca_state,
    ca_zip,
    ca_country,
    ca_gmt_offset,
    ca_location_type,
    r.total_return
limit 100
