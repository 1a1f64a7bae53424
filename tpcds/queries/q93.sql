-- TPC-DS query 93: what customers spent in stores, less what they returned for one reason.
-- param reason = reason 28
with kept as (
    select
        ss_customer_sk,
        case
            when sr_return_quantity is not null then (ss_quantity - sr_return_quantity) * ss_sales_price
            else ss_quantity * ss_sales_price
        end as act_sales
    from store_sales
    left join store_returns on sr_item_sk = ss_item_sk and sr_ticket_number = ss_ticket_number
    -- The specification joins the reason in the where clause, so that only returned sales remain.
    join reason on r_reason_sk = sr_reason_sk
    where r_reason_desc = '${reason}'
)
select ss_customer_sk, sum(act_sales) as sumsales
from kept
group by ss_customer_sk
order by sumsales, ss_customer_sk
limit 100
