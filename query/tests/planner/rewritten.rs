//! Kinds of queries that the rules for joins, memberships, constants and intervals are easily wrong about.

use crate::put_right::{all_give, all_say};

#[tokio::test]
async fn joins_by_using_in_brackets_keep_the_keys_of_both_sides_unless_they_are_merged() {
    let both: &[&str] = &["<2> <2>", "<2> <2>"];
    all_give(&[
        ("SELECT a.* FROM (l a JOIN r b USING (k))", &["<2> <b>", "<2> <c>"]),
        ("SELECT a.* FROM (l a NATURAL JOIN r b)", &["<2> <b>", "<2> <c>"]),
        ("SELECT a.k, b.k FROM (l a JOIN r b USING (k))", both),
        ("SELECT a.k, b.k FROM ((l a JOIN r b USING (k)))", both),
        (
            "SELECT a.k, y FROM (l a LEFT JOIN r b USING (k))",
            &["<1> <NULL>", "<2> <p>", "<2> <p>", "<NULL> <NULL>"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_join_by_using_before_one_that_merges_keys_is_part_of_it() {
    all_give(&[
        (
            "SELECT k, x, b.y, c.y FROM l a JOIN r b USING (k) RIGHT JOIN r c USING (k)",
            &[
                "<2> <b> <p> <p>",
                "<2> <c> <p> <p>",
                "<3> <NULL> <NULL> <q>",
                "<NULL> <NULL> <NULL> <s>",
            ],
        ),
        (
            "SELECT k, x FROM l a NATURAL JOIN (SELECT k FROM r) b NATURAL FULL JOIN (SELECT k FROM r) c",
            &["<2> <b>", "<2> <c>", "<3> <NULL>", "<NULL> <NULL>"],
        ),
        (
            "SELECT * FROM l a JOIN (SELECT k FROM r) b USING (k) JOIN (SELECT k FROM r) c USING (k) FULL JOIN (SELECT k FROM r) d USING (k)",
            &["<2> <b>", "<2> <c>", "<3> <NULL>", "<NULL> <NULL>"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn beside_a_merged_key_other_tables_have_columns_of_its_name() {
    let more = "l a RIGHT JOIN r b USING (k) JOIN l c ON c.x = a.x";
    let of_more = format!("SELECT a.x, c.k, b.y FROM {more}");
    let all_of_more = format!("SELECT c.* FROM {more}");
    let ambiguous = format!("SELECT k FROM {more}");
    let merged = format!("SELECT b.* FROM {more}");
    all_give(&[
        (&of_more, &["<b> <2> <p>", "<c> <2> <p>"]),
        (&all_of_more, &["<2> <b>", "<2> <c>"]),
        (
            "SELECT count(*) FROM (l a FULL JOIN r b USING (k)) JOIN (l c FULL JOIN r d USING (k)) ON a.x = c.x",
            &["<4>"],
        ),
        (
            "SELECT x, z FROM l RIGHT JOIN r USING (k), (SELECT 1 AS k, 2 AS z) o",
            &["<NULL> <2>", "<NULL> <2>", "<b> <2>", "<c> <2>"],
        ),
        (
            "SELECT t.* FROM (l FULL JOIN r USING (k)) AS t WHERE t.k = 3",
            &["<3> <NULL> <q>"],
        ),
    ])
    .await;
    all_say(&[(&ambiguous, "mbiguous"), (&merged, "write the columns")]).await;
}

#[tokio::test]
async fn not_in_without_a_column_knows_every_null() {
    all_give(&[
        ("SELECT count(*) FROM l WHERE 5 NOT IN (SELECT k FROM r)", &["<0>"]),
        ("SELECT count(*) FROM l WHERE NOT (5 IN (SELECT k FROM r))", &["<0>"]),
        (
            "SELECT count(*) FROM l WHERE 5 NOT IN (SELECT k FROM r WHERE k > 0)",
            &["<4>"],
        ),
        (
            "SELECT count(*) FROM l WHERE 2 NOT IN (SELECT k FROM r WHERE k > 0)",
            &["<0>"],
        ),
        (
            "SELECT count(*) FROM l WHERE 5 NOT IN (SELECT k FROM e WHERE k > 0)",
            &["<4>"],
        ),
        (
            "SELECT count(*) FROM l WHERE CAST(NULL AS bigint) NOT IN (SELECT k FROM r WHERE k > 0)",
            &["<0>"],
        ),
        (
            "SELECT count(*) FROM l WHERE CAST(NULL AS bigint) NOT IN (SELECT k FROM r WHERE k > 9)",
            &["<4>"],
        ),
        (
            "SELECT count(*) FROM l WHERE (SELECT min(k) FROM l) NOT IN (SELECT k FROM r)",
            &["<0>"],
        ),
        (
            "SELECT count(*) FROM l WHERE (SELECT min(k) FROM l) NOT IN (SELECT k FROM r WHERE k > 0)",
            &["<4>"],
        ),
        ("SELECT count(*) FROM l WHERE 5 IN (SELECT k FROM r)", &["<0>"]),
        ("SELECT count(*) FROM l WHERE 3 IN (SELECT k FROM r)", &["<4>"]),
        (
            "SELECT count(*) FROM (SELECT 7 AS c FROM l) WHERE c NOT IN (SELECT k FROM r WHERE k > 0)",
            &["<4>"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn correlated_not_in_knows_every_null_of_its_rows() {
    all_give(&[
        ("SELECT k FROM l2 WHERE k NOT IN (SELECT r2.k FROM r2 WHERE r2.j < l2.j)", &["<1>"]),
        ("SELECT k FROM l2 WHERE k NOT IN (SELECT r2.k FROM r2 WHERE r2.j > l2.j)", &[]),
        ("SELECT k FROM l2 WHERE k NOT IN (SELECT r2.k FROM r2 WHERE r2.j = l2.j)", &["<1>"]),
        ("SELECT k FROM l2 WHERE k NOT IN (SELECT r2.k FROM r2 WHERE r2.j = l2.j + 5)", &[]),
        ("SELECT x FROM l WHERE k NOT IN (SELECT r.k FROM r WHERE r.y > l.x)", &[]),
        (
            "SELECT x FROM l WHERE k NOT IN (SELECT r.k FROM r WHERE r.y < l.x)",
            &["<a>", "<b>", "<c>", "<d>"],
        ),
        (
            "SELECT x FROM l WHERE NOT (k IN (SELECT r.k FROM r WHERE r.y = 'q' AND l.x <> 'a'))",
            &["<a>", "<b>", "<c>"],
        ),
        (
            "SELECT x FROM l WHERE k + 1 NOT IN (SELECT r.k FROM r WHERE r.y = 'q' AND l.x <> 'zz')",
            &["<a>"],
        ),
        (
            "SELECT x FROM l WHERE 2 NOT IN (SELECT DISTINCT r.k + 1 FROM r WHERE r.k < l.k + 1)",
            &["<a>", "<b>", "<c>", "<d>"],
        ),
        ("SELECT o.x FROM l o WHERE o.k NOT IN (SELECT l.k FROM l WHERE l.x = o.x)", &[]),
        (
            "SELECT l.x FROM l JOIN r o ON l.k = o.k WHERE l.k NOT IN (SELECT l.k FROM l WHERE l.x = 'a' AND o.y = 'p')",
            &["<b>", "<c>"],
        ),
        (
            "SELECT l.x FROM l JOIN r o ON l.k = o.k WHERE l.x NOT IN (SELECT l.x FROM l WHERE l.k = o.k)",
            &[],
        ),
    ])
    .await;
    all_say(&[(
        "SELECT x FROM l WHERE k NOT IN (SELECT r.k FROM r WHERE r.y > l.x LIMIT 1)",
        "write NOT EXISTS",
    )])
    .await;
}

#[tokio::test]
async fn membership_in_the_condition_of_a_join_is_true_false_or_null() {
    let joined = "SELECT count(*) FROM l JOIN (SELECT x AS y FROM l) m ON l.x = m.y AND";
    let or = format!("{joined} (l.k NOT IN (SELECT k FROM r) OR l.x = 'zzz')");
    let null = format!("{joined} (l.k IN (SELECT k FROM r)) IS NULL");
    let found = format!("{joined} l.k IN (SELECT k FROM r)");
    let not_found = format!("{joined} l.k NOT IN (SELECT k FROM r WHERE k > 2)");
    let correlated = format!("{joined} l.k NOT IN (SELECT k FROM r WHERE r.y < m.y)");
    all_give(&[
        (&or, &["<0>"]),
        (&null, &["<2>"]),
        (&found, &["<2>"]),
        (&not_found, &["<3>"]),
        (&correlated, &["<4>"]),
        (
            "SELECT l.x, r.y FROM l LEFT JOIN r ON l.k = r.k AND l.k IN (SELECT k FROM r)",
            &["<a> <NULL>", "<b> <p>", "<c> <p>", "<d> <NULL>"],
        ),
        (
            "SELECT l.x, r.y FROM l LEFT JOIN r ON l.k = r.k AND r.k NOT IN (SELECT k FROM r WHERE k > 2)",
            &["<a> <NULL>", "<b> <p>", "<c> <p>", "<d> <NULL>"],
        ),
        (
            "SELECT count(r.y) FROM l LEFT JOIN r ON l.k = r.k AND r.k NOT IN (SELECT k FROM r WHERE k IS NULL)",
            &["<0>"],
        ),
        (
            "SELECT count(*) FROM l FULL JOIN r ON l.k = r.k AND (l.k IN (SELECT k FROM r WHERE k = 3)) IS NULL",
            &["<7>"],
        ),
    ])
    .await;
    all_say(&[
        (
            "SELECT count(*) FROM l LEFT JOIN r ON l.k + r.k IN (SELECT k FROM r)",
            "before the join",
        ),
        (
            "SELECT k IN (SELECT k FROM r WHERE random() < 0.5) FROM l",
            "read twice",
        ),
        ("SELECT k IN (SELECT k FROM r LIMIT 1) FROM l", "read twice"),
    ])
    .await;
}

#[tokio::test]
async fn correlated_conditions_below_what_keeps_or_numbers_rows_are_refused() {
    all_say(&[
        (
            "SELECT count(*) FROM l WHERE EXISTS (SELECT DISTINCT count(*) FROM r WHERE r.k = l.k)",
            "an aggregate without GROUP BY",
        ),
        (
            "SELECT x FROM l WHERE EXISTS (SELECT 1 FROM (SELECT count(*) AS c FROM r WHERE r.k = l.k) s JOIN (SELECT 0 AS d) u ON u.d = s.c)",
            "an aggregate without GROUP BY",
        ),
        (
            "SELECT k FROM l WHERE k IN (SELECT max(k) FROM r WHERE r.k = l.k GROUP BY GROUPING SETS ((), (y)))",
            "GROUPING SETS",
        ),
        (
            "SELECT count(*) FROM l WHERE EXISTS (SELECT 1 FROM (SELECT row_number() OVER (ORDER BY y DESC) AS n FROM r WHERE r.k = l.k) WHERE n = 1)",
            "a window function",
        ),
        (
            "SELECT l.k, n FROM l, LATERAL (SELECT row_number() OVER (ORDER BY y DESC) AS n FROM r WHERE r.k = l.k) q",
            "a window function",
        ),
        (
            "SELECT x FROM l WHERE EXISTS (SELECT 1 FROM r FULL JOIN (SELECT k FROM l a WHERE a.k = l.k) q ON q.k = r.k)",
            "an outer join",
        ),
        (
            "SELECT x FROM l WHERE EXISTS (SELECT 1 FROM r LEFT JOIN (SELECT k FROM l a WHERE a.k = l.k) q ON q.k = r.k)",
            "an outer join",
        ),
    ])
    .await;
    all_give(&[
        (
            "SELECT x FROM l WHERE EXISTS (SELECT 1 FROM r JOIN (SELECT max(k) AS m FROM r) s ON s.m > r.k WHERE r.k = l.k)",
            &["<b>", "<c>"],
        ),
        (
            "SELECT x FROM l WHERE EXISTS (SELECT 1 FROM r LEFT JOIN e ON r.k = e.k WHERE r.k = l.k)",
            &["<b>", "<c>"],
        ),
        (
            "SELECT x, (SELECT count(*) FROM r WHERE r.k = l.k) FROM l",
            &["<a> <0>", "<b> <1>", "<c> <1>", "<d> <0>"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn constants_that_meet_when_a_query_is_rewritten_do_not_wrap() {
    all_say(&[
        ("SELECT v + 1 FROM (SELECT 9223372036854775807 AS v FROM l)", "overflow"),
        (
            "WITH c AS (SELECT k, 9223372036854775807 AS v FROM l) SELECT k FROM c WHERE v + 1 < 0",
            "overflow",
        ),
        (
            "SELECT w + 1 FROM (SELECT v + 9223372036854775806 AS w FROM (SELECT 1 AS v FROM l))",
            "overflow",
        ),
        (
            "SELECT l.k FROM l JOIN (SELECT 2 AS k, 4611686018427387904 AS v) c ON l.k = c.k AND c.v * c.k > 0",
            "verflow",
        ),
        ("SELECT 18446744073709551615 * 18446744073709551615", "overflow"),
    ])
    .await;
    all_give(&[(
        "SELECT v + 1, -v FROM (SELECT 9223372036854775806 AS v FROM l) LIMIT 1",
        &["<9223372036854775807> <-9223372036854775806>"],
    )])
    .await;
}

#[tokio::test]
async fn what_is_between_two_times_is_compared_with_days_of_24_hours() {
    all_give(&[
        ("SELECT count(*) FROM ts WHERE t2 - t1 = interval '1 day'", &["<1>"]),
        ("SELECT count(*) FROM ts WHERE t2 - t1 <> interval '1 day'", &["<1>"]),
        ("SELECT count(*) FROM ts WHERE t2 - t1 > interval '1 hour'", &["<2>"]),
        ("SELECT count(*) FROM ts WHERE t2 - t1 < interval '1 day'", &["<1>"]),
        ("SELECT count(*) FROM ts WHERE interval '24 hours' <= t2 - t1", &["<1>"]),
        ("SELECT count(*) FROM ts WHERE t2 - t1 > interval '5400.000000001 seconds'", &["<1>"]),
        (
            "SELECT count(*) FROM ts WHERE t2 - t1 BETWEEN interval '1 hour' AND interval '2 hours'",
            &["<1>"],
        ),
        (
            "SELECT count(*) FROM ts WHERE t2 - t1 IN (interval '1 day', interval '5 minutes')",
            &["<1>"],
        ),
        (
            "SELECT timestamp '2024-01-02 00:00:00' - timestamp '2024-01-01 00:00:00' = interval '1 day'",
            &["<true>"],
        ),
        (
            "SELECT timestamp '2024-01-05 00:00:00' - timestamp '2024-01-01 00:00:00' BETWEEN interval '1 hour' AND interval '2 days'",
            &["<false>"],
        ),
        ("SELECT interval '1 day' = interval '24 hours'", &["<true>"]),
        ("SELECT count(DISTINCT t2 - t1), min(t2 - t1) < max(t2 - t1) FROM ts", &["<2> <true>"]),
    ])
    .await;
    let i = "(SELECT interval '1 day' AS i FROM l UNION ALL SELECT interval '1 month')";
    let order = format!("SELECT i FROM {i} ORDER BY i");
    let group = format!("SELECT count(*) FROM {i} GROUP BY i");
    let distinct = format!("SELECT DISTINCT i FROM {i}");
    let count = format!("SELECT count(DISTINCT i) FROM {i}");
    let max = format!("SELECT max(i) FROM {i}");
    let window = format!("SELECT row_number() OVER (ORDER BY i) FROM {i}");
    let same = format!("SELECT count(*) FROM {i} WHERE i = interval '1 day'");
    let among = format!("SELECT count(*) FROM {i} WHERE i IN (SELECT i FROM {i})");
    let month = "SELECT count(*) FROM ts WHERE t2 - t1 < interval '1 month'";
    let all = [&order, &group, &distinct, &count, &max, &same, &among];
    let mut cases: Vec<(&str, &str)> = all.iter().map(|sql| (sql.as_str(), "no order")).collect();
    cases.push((month, "no order"));
    cases.push((&window, "Interval"));
    all_say(&cases).await;
}

#[tokio::test]
async fn different_floats_are_collected_in_their_order() {
    let floats =
        "(VALUES (CAST(0.0 AS double)), (-CAST(0.0 AS double)), (CAST('NaN' AS double)), (CAST(-1.5 AS double))) t(x)";
    let all = format!("SELECT array_agg(DISTINCT x ORDER BY x) FROM {floats}");
    let last = format!("SELECT array_agg(DISTINCT x ORDER BY x DESC) FROM {floats}");
    all_give(&[(&all, &["<[-1.5, 0.0, NaN]>"]), (&last, &["<[NaN, 0.0, -1.5]>"])]).await;
}
