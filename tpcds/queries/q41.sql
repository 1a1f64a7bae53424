-- TPC-DS query 41: products of a range of makers who offer some given combination of category, colour, unit and size.
-- param manufact = 738
-- param color_1 = powder
-- param color_2 = khaki
-- param color_3 = brown
-- param color_4 = honeydew
-- param color_5 = floral
-- param color_6 = deep
-- param color_7 = light
-- param color_8 = cornflower
-- param color_9 = midnight
-- param color_10 = snow
-- param color_11 = cyan
-- param color_12 = papaya
-- param color_13 = orange
-- param color_14 = frosted
-- param color_15 = forest
-- param color_16 = ghost
-- param unit_1 = Ounce
-- param unit_2 = Oz
-- param unit_3 = Bunch
-- param unit_4 = Ton
-- param unit_5 = N/A
-- param unit_6 = Dozen
-- param unit_7 = Box
-- param unit_8 = Pound
-- param unit_9 = Pallet
-- param unit_10 = Gross
-- param unit_11 = Cup
-- param unit_12 = Dram
-- param unit_13 = Each
-- param unit_14 = Tbl
-- param unit_15 = Lb
-- param unit_16 = Bundle
-- param size_1 = medium
-- param size_2 = extra large
-- param size_3 = N/A
-- param size_4 = small
-- param size_5 = petite
-- param size_6 = large
select distinct i_product_name
from item i1
where i_manufact_id between ${manufact} and ${manufact} + 40
  and (
      select count(*)
      from item
      where item.i_manufact = i1.i_manufact
        and (
            (
                i_category = 'Women'
                and i_color in ('${color_1}', '${color_2}')
                and i_units in ('${unit_1}', '${unit_2}')
                and i_size in ('${size_1}', '${size_2}')
            )
            or (
                i_category = 'Women'
                and i_color in ('${color_3}', '${color_4}')
                and i_units in ('${unit_3}', '${unit_4}')
                and i_size in ('${size_3}', '${size_4}')
            )
            or (
                i_category = 'Men'
                and i_color in ('${color_5}', '${color_6}')
                and i_units in ('${unit_5}', '${unit_6}')
                and i_size in ('${size_5}', '${size_6}')
            )
            or (
                i_category = 'Men'
                and i_color in ('${color_7}', '${color_8}')
                and i_units in ('${unit_7}', '${unit_8}')
                and i_size in ('${size_1}', '${size_2}')
            )
            or (
                i_category = 'Women'
                and i_color in ('${color_9}', '${color_10}')
                and i_units in ('${unit_9}', '${unit_10}')
                and i_size in ('${size_1}', '${size_2}')
            )
            or (
                i_category = 'Women'
                and i_color in ('${color_11}', '${color_12}')
                and i_units in ('${unit_11}', '${unit_12}')
                and i_size in ('${size_3}', '${size_4}')
            )
            or (
                i_category = 'Men'
                and i_color in ('${color_13}', '${color_14}')
                and i_units in ('${unit_13}', '${unit_14}')
                and i_size in ('${size_5}', '${size_6}')
            )
            or (
                i_category = 'Men'
                and i_color in ('${color_15}', '${color_16}')
                and i_units in ('${unit_15}', '${unit_16}')
                and i_size in ('${size_1}', '${size_2}')
            )
        )
  ) > 0
order by i_product_name
limit 100
