-- TPC-DS query 9: for each range of quantity, an average discount or net paid, depending on the number of sales.
-- param count_1 = 74129
-- param count_2 = 122840
-- param count_3 = 56580
-- param count_4 = 10097
-- param count_5 = 165306
-- param agg_then = ss_ext_discount_amt
-- param agg_else = ss_net_paid
select
    case
        when (select count(*) from store_sales where ss_quantity between 1 and 20) > ${count_1}
        then (select avg(${agg_then}) from store_sales where ss_quantity between 1 and 20)
        else (select avg(${agg_else}) from store_sales where ss_quantity between 1 and 20)
    end as bucket1,
    case
        when (select count(*) from store_sales where ss_quantity between 21 and 40) > ${count_2}
        then (select avg(${agg_then}) from store_sales where ss_quantity between 21 and 40)
        else (select avg(${agg_else}) from store_sales where ss_quantity between 21 and 40)
    end as bucket2,
    case
        when (select count(*) from store_sales where ss_quantity between 41 and 60) > ${count_3}
        then (select avg(${agg_then}) from store_sales where ss_quantity between 41 and 60)
        else (select avg(${agg_else}) from store_sales where ss_quantity between 41 and 60)
    end as bucket3,
    case
        when (select count(*) from store_sales where ss_quantity between 61 and 80) > ${count_4}
        then (select avg(${agg_then}) from store_sales where ss_quantity between 61 and 80)
        else (select avg(${agg_else}) from store_sales where ss_quantity between 61 and 80)
    end as bucket4,
    case
        when (select count(*) from store_sales where ss_quantity between 81 and 100) > ${count_5}
        then (select avg(${agg_then}) from store_sales where ss_quantity between 81 and 100)
        else (select avg(${agg_else}) from store_sales where ss_quantity between 81 and 100)
    end as bucket5
from reason
where r_reason_sk = 1
