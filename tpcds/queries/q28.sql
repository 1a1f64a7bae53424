-- TPC-DS query 28: average, count and distinct count of list prices in six ranges of quantity.
-- param list_price_1 = 8
-- param list_price_2 = 90
-- param list_price_3 = 142
-- param list_price_4 = 135
-- param list_price_5 = 122
-- param list_price_6 = 154
-- param coupon_amt_1 = 459
-- param coupon_amt_2 = 2323
-- param coupon_amt_3 = 12214
-- param coupon_amt_4 = 6071
-- param coupon_amt_5 = 836
-- param coupon_amt_6 = 7326
-- param wholesale_cost_1 = 57
-- param wholesale_cost_2 = 31
-- param wholesale_cost_3 = 79
-- param wholesale_cost_4 = 38
-- param wholesale_cost_5 = 17
-- param wholesale_cost_6 = 7
select *
from (
    select
        avg(ss_list_price) as b1_lp,
        count(ss_list_price) as b1_cnt,
        count(distinct ss_list_price) as b1_cntd
    from store_sales
    where ss_quantity between 0 and 5
      and (
          ss_list_price between ${list_price_1} and ${list_price_1} + 10
          or ss_coupon_amt between ${coupon_amt_1} and ${coupon_amt_1} + 1000
          or ss_wholesale_cost between ${wholesale_cost_1} and ${wholesale_cost_1} + 20
      )
) b1
cross join (
    select
        avg(ss_list_price) as b2_lp,
        count(ss_list_price) as b2_cnt,
        count(distinct ss_list_price) as b2_cntd
    from store_sales
    where ss_quantity between 6 and 10
      and (
          ss_list_price between ${list_price_2} and ${list_price_2} + 10
          or ss_coupon_amt between ${coupon_amt_2} and ${coupon_amt_2} + 1000
          or ss_wholesale_cost between ${wholesale_cost_2} and ${wholesale_cost_2} + 20
      )
) b2
cross join (
    select
        avg(ss_list_price) as b3_lp,
        count(ss_list_price) as b3_cnt,
        count(distinct ss_list_price) as b3_cntd
    from store_sales
    where ss_quantity between 11 and 15
      and (
          ss_list_price between ${list_price_3} and ${list_price_3} + 10
          or ss_coupon_amt between ${coupon_amt_3} and ${coupon_amt_3} + 1000
          or ss_wholesale_cost between ${wholesale_cost_3} and ${wholesale_cost_3} + 20
      )
) b3
cross join (
    select
        avg(ss_list_price) as b4_lp,
        count(ss_list_price) as b4_cnt,
        count(distinct ss_list_price) as b4_cntd
    from store_sales
    where ss_quantity between 16 and 20
      and (
          ss_list_price between ${list_price_4} and ${list_price_4} + 10
          or ss_coupon_amt between ${coupon_amt_4} and ${coupon_amt_4} + 1000
          or ss_wholesale_cost between ${wholesale_cost_4} and ${wholesale_cost_4} + 20
      )
) b4
cross join (
    select
        avg(ss_list_price) as b5_lp,
        count(ss_list_price) as b5_cnt,
        count(distinct ss_list_price) as b5_cntd
    from store_sales
    where ss_quantity between 21 and 25
      and (
          ss_list_price between ${list_price_5} and ${list_price_5} + 10
          or ss_coupon_amt between ${coupon_amt_5} and ${coupon_amt_5} + 1000
          or ss_wholesale_cost between ${wholesale_cost_5} and ${wholesale_cost_5} + 20
      )
) b5
cross join (
    select
        avg(ss_list_price) as b6_lp,
        count(ss_list_price) as b6_cnt,
        count(distinct ss_list_price) as b6_cntd
    from store_sales
    where ss_quantity between 26 and 30
      and (
          ss_list_price between ${list_price_6} and ${list_price_6} + 10
          or ss_coupon_amt between ${coupon_amt_6} and ${coupon_amt_6} + 1000
          or ss_wholesale_cost between ${wholesale_cost_6} and ${wholesale_cost_6} + 20
      )
) b6
limit 100
