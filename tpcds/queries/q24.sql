-- TPC-DS query 24: what neighbours of a store born abroad paid for returned items of one color; then of another.
-- param market = 8
-- param amount = ss_net_paid
-- param color_1 = peach
-- param color_2 = saddle
with returned_sales as (
    select
        c_last_name,
        c_first_name,
        s_store_name,
        ca_state,
        s_state,
        i_color,
        i_current_price,
        i_manager_id,
        i_units,
        i_size,
        sum(${amount}) as netpaid
    from store_sales
    join store_returns on sr_ticket_number = ss_ticket_number and sr_item_sk = ss_item_sk
    join store on s_store_sk = ss_store_sk
    join item on i_item_sk = ss_item_sk
    join customer on c_customer_sk = ss_customer_sk
    join customer_address on ca_address_sk = c_current_addr_sk and ca_zip = s_zip
    where c_birth_country <> upper(ca_country)
      and s_market_id = ${market}
    group by
        c_last_name, c_first_name, s_store_name, ca_state, s_state,
        i_color, i_current_price, i_manager_id, i_units, i_size
)
select
    c_last_name,
    c_first_name,
    s_store_name,
    sum(netpaid) as paid
from returned_sales
where i_color = '${color_1}'
group by c_last_name, c_first_name, s_store_name
having sum(netpaid) > (select 0.05 * avg(netpaid) from returned_sales)
order by c_last_name, c_first_name, s_store_name
;
with returned_sales as (
    select
        c_last_name,
        c_first_name,
        s_store_name,
        ca_state,
        s_state,
        i_color,
        i_current_price,
        i_manager_id,
        i_units,
        i_size,
        sum(${amount}) as netpaid
    from store_sales
    join store_returns on sr_ticket_number = ss_ticket_number and sr_item_sk = ss_item_sk
    join store on s_store_sk = ss_store_sk
    join item on i_item_sk = ss_item_sk
    join customer on c_customer_sk = ss_customer_sk
    join customer_address on ca_address_sk = c_current_addr_sk and ca_zip = s_zip
    where c_birth_country <> upper(ca_country)
      and s_market_id = ${market}
    group by
        c_last_name, c_first_name, s_store_name, ca_state, s_state,
        i_color, i_current_price, i_manager_id, i_units, i_size
)
select
    c_last_name,
    c_first_name,
    s_store_name,
    sum(netpaid) as paid
from returned_sales
where i_color = '${color_2}'
group by c_last_name, c_first_name, s_store_name
having sum(netpaid) > (select 0.05 * avg(netpaid) from returned_sales)
order by c_last_name, c_first_name, s_store_name
