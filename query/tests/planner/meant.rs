//! SQL means what it says to others: patterns, rows, shifts, zones, intervals, numbers, merged keys, series; or it is refused.

use crate::support;
use kappa_query::reference;
use kappa_query::session::Session;

/// `l` has the keys 1, 2, 2, NULL; `r` 2, 3, NULL; `e` none; `z` texts with and without zones.
async fn session() -> (tempfile::TempDir, Session) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("l", "k,x\n1,a\n2,b\n2,c\n,d\n"),
        ("r", "k,y\n2,p\n3,q\n,s\n"),
        ("e", "k,z\n"),
        ("z", "n,at\n1,2020-01-01 00:00:00+02\n2,2020-06-01 00:00:00\n3,no\n"),
    ] {
        std::fs::write(folder.path().join(format!("{name}.csv")), text).unwrap();
    }
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder.path()).await.unwrap();
    (folder, session)
}

async fn ask(session: &Session, sql: &str) -> Result<Vec<String>, String> {
    let graph = session.plan(sql).await.map_err(|e| e.to_string())?;
    let rows = reference::run(&graph, session).await.map_err(|e| e.to_string())?;
    Ok(support::sorted(support::rows(&rows)))
}

async fn all_give(cases: &[(&str, &[&str])]) {
    let (_folder, session) = session().await;
    for (sql, expected) in cases {
        let found = ask(&session, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(found, *expected, "{sql}");
    }
}

async fn all_say(cases: &[(&str, &str)]) {
    let (_folder, session) = session().await;
    for (sql, words) in cases {
        let said = ask(&session, sql).await.expect_err(sql);
        assert!(said.contains(words), "{sql}: {said}");
    }
}

#[tokio::test]
async fn similar_to_matches_the_whole_text_by_the_patterns_of_sql() {
    all_give(&[
        ("SELECT x FROM l WHERE x SIMILAR TO '(a|b)'", &["<a>", "<b>"]),
        ("SELECT x FROM l WHERE x NOT SIMILAR TO '[ab]'", &["<c>", "<d>"]),
        (
            "SELECT 'axc' SIMILAR TO 'a_c', 'xaxc' SIMILAR TO 'a_c', 'a.c' SIMILAR TO 'a%'",
            &["<true> <false> <true>"],
        ),
        (
            "SELECT 'abc' SIMILAR TO 'a.c', 'a%' SIMILAR TO 'a!%' ESCAPE '!', 'ab' SIMILAR TO 'a!%' ESCAPE '!'",
            &["<false> <true> <false>"],
        ),
        (
            "SELECT 'a\nb' SIMILAR TO 'a%b', NULL SIMILAR TO 'a'",
            &["<true> <NULL>"],
        ),
        (
            "SELECT '10%' LIKE '10!%' ESCAPE '!', '100' LIKE '10!%' ESCAPE '!'",
            &["<true> <false>"],
        ),
        (
            r"SELECT 'a\b' LIKE 'a\b' ESCAPE '!', 'a\b' ILIKE 'A\B' ESCAPE ''",
            &["<true> <true>"],
        ),
        (
            "SELECT x FROM l WHERE x || '%' LIKE '_#%' ESCAPE '#'",
            &["<a>", "<b>", "<c>", "<d>"],
        ),
    ])
    .await;
    all_say(&[
        ("SELECT x FROM l WHERE x SIMILAR TO x", "use a regular expression"),
        (
            "SELECT x FROM l WHERE x LIKE 'a!' ESCAPE '!'",
            "must not end with its escape character",
        ),
        ("SELECT x FROM l WHERE x LIKE 'a' ESCAPE 'ab'", "must be one character"),
    ])
    .await;
}

#[tokio::test]
async fn rows_are_compared_column_by_column() {
    all_give(&[
        ("SELECT k, x FROM l WHERE (k, x) < (2, 'c')", &["<1> <a>", "<2> <b>"]),
        ("SELECT k, x FROM l WHERE (k, x) >= (2, 'b')", &["<2> <b>", "<2> <c>"]),
        (
            "SELECT (k, x) = (2, 'b') FROM l",
            &["<false>", "<false>", "<false>", "<true>"],
        ),
        (
            "SELECT (k, x) = (2, 'd') FROM l",
            &["<NULL>", "<false>", "<false>", "<false>"],
        ),
        (
            "SELECT (k, x) <> (2, 'd'), (k, x) > (1, 'z') FROM l WHERE x = 'd'",
            &["<NULL> <NULL>"],
        ),
        ("SELECT x FROM l WHERE (k, x) IN ((1, 'a'), (2, 'c'))", &["<a>", "<c>"]),
        (
            "SELECT x FROM l WHERE (k, x) NOT IN ((1, 'a'), (2, 'c'))",
            &["<b>", "<d>"],
        ),
        ("SELECT x FROM l WHERE (k, x) BETWEEN (1, 'b') AND (2, 'b')", &["<b>"]),
    ])
    .await;
    all_say(&[(
        "SELECT (1, 2) = (1, 2, 3)",
        "a row of 2 columns is compared with one of 3",
    )])
    .await;
}

#[tokio::test]
async fn shifts_keep_all_bits_or_fail() {
    all_give(&[
        (
            "SELECT 5 << 3, -5 << 1, 5 >> 1, -5 >> 1, 1 << 62",
            &["<40> <-10> <2> <-3> <4611686018427387904>"],
        ),
        ("SELECT x FROM l WHERE (k IS DISTINCT FROM 2) AND x <> 'a'", &["<d>"]),
        ("SELECT k << k FROM l", &["<2>", "<8>", "<8>", "<NULL>"]),
    ])
    .await;
    all_say(&[
        ("SELECT 1 << 64", "cannot be shifted by 64: only by 0 to 63"),
        ("SELECT 1 << 63", "has more than 64 bits"),
        ("SELECT 1 << -1", "cannot be shifted by -1"),
        ("SELECT k >> 64 FROM l", "cannot be shifted by 64"),
        ("SELECT (k + 4611686018427387904) << 1 FROM l", "has more than 64 bits"),
        ("SELECT 5 ^ 2", "write power(5, 2)"),
        ("SELECT 4 | 1 & 0", "write brackets"),
        (
            "SELECT x FROM l WHERE k > 1 IS DISTINCT FROM true AND x = 'a'",
            "(k > 1 IS DISTINCT FROM ..) AND ..",
        ),
        (
            "SELECT x FROM l WHERE NOT k IS NOT DISTINCT FROM 1 OR k = 2",
            "write brackets",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_text_with_a_zone_is_a_time_with_a_zone_only() {
    let moment: &[&str] = &["<2019-12-31T22:00:00Z>"];
    all_give(&[
        ("SELECT timestamptz '2020-01-01 00:00:00+02'", moment),
        ("SELECT at::timestamptz FROM z WHERE n = 1", moment),
        ("SELECT to_timestamp(at) FROM z WHERE n = 1", moment),
        (
            "SELECT to_timestamp_millis(at), to_timestamp(n) FROM z WHERE n = 1",
            &["<2019-12-31T22:00:00Z> <1970-01-01T00:00:01Z>"],
        ),
        (
            "SELECT at::timestamptz::timestamp FROM z WHERE n = 1",
            &["<2019-12-31T22:00:00>"],
        ),
        ("SELECT at::timestamp FROM z WHERE n = 2", &["<2020-06-01T00:00:00>"]),
        (
            "SELECT try_cast(at AS timestamp) FROM z",
            &["<2020-06-01T00:00:00>", "<NULL>", "<NULL>"],
        ),
        (
            "SELECT '2020-01-01 00:00:00'::timestamp, '2020-01-01'::date",
            &["<2020-01-01T00:00:00> <2020-01-01>"],
        ),
        (
            "SELECT n FROM z WHERE try_cast(at AS timestamptz) = timestamptz '2019-12-31 22:00:00Z'",
            &["<1>"],
        ),
        (
            "SELECT timestamptz '2020-01-01 00:00:00+02' = timestamptz '2019-12-31 17:00:00-05'",
            &["<true>"],
        ),
    ])
    .await;
    all_give(&[("SELECT interval '1 day' > interval '1 hour'", &["<true>"])]).await;
    let words = "has a zone, and the type that it is cast to has none";
    all_say(&[
        ("SELECT at::timestamp FROM z WHERE n < 3", words),
        ("SELECT at::date FROM z WHERE n < 3", words),
        ("SELECT timestamp '2020-01-01 00:00:00+02'", words),
        ("SELECT date '2020-01-01T00:00:00Z'", words),
        (
            "SELECT n FROM z WHERE n = 1 AND at > timestamp '2020-01-01 00:00:00'",
            words,
        ),
        (
            "SELECT interval '1 month' = interval '30 days'",
            "no order and no equality",
        ),
    ])
    .await;
}

#[tokio::test]
async fn keys_of_many_tables_joined_by_using_are_one_column() {
    all_give(&[
        (
            "SELECT k, x, y FROM l JOIN r USING (k) LEFT JOIN e USING (k)",
            &["<2> <b> <p>", "<2> <c> <p>"],
        ),
        (
            "SELECT * FROM l JOIN r USING (k) LEFT JOIN e USING (k)",
            &["<2> <b> <p> <NULL>", "<2> <c> <p> <NULL>"],
        ),
        (
            "SELECT count(*) FROM l a JOIN l b USING (k) JOIN l c USING (k) JOIN l d USING (k)",
            &["<17>"],
        ),
        (
            "SELECT a.k FROM l a JOIN r b USING (k) LEFT JOIN e USING (k) WHERE e.k IS NULL",
            &["<2>", "<2>"],
        ),
    ])
    .await;
    // The keys of l and r are two columns here.
    all_say(&[(
        "SELECT k FROM l JOIN r ON l.x < r.y JOIN e USING (k) JOIN l l2 USING (k)",
        "both on one side of the join",
    )])
    .await;
}

#[tokio::test]
async fn a_case_looks_its_values_up() {
    all_give(&[
        ("SELECT CASE x WHEN 'a' THEN 1 WHEN 'b' THEN 2 WHEN '' THEN 3 WHEN 'd' THEN 4 END FROM l", &["<1>", "<2>", "<4>", "<NULL>"]),
        ("SELECT CASE k WHEN 1 THEN 'x' WHEN 2 THEN 'y' WHEN 3 THEN 'z' ELSE 'w' END FROM l", &["<w>", "<x>", "<y>", "<y>"]),
        ("SELECT count(*) FROM l WHERE CASE x WHEN 'a' THEN true WHEN 'b' THEN false WHEN 'c' THEN true WHEN 'd' THEN NULL END", &["<2>"]),
    ])
    .await;
}

#[tokio::test]
async fn series_are_counted_and_joined() {
    all_give(&[
        ("SELECT count(*) FROM generate_series(1, 10)", &["<10>"]),
        ("SELECT count(*) FROM generate_series(1, 20000)", &["<20000>"]),
        ("SELECT count(*) FROM generate_series(5, 1)", &["<0>"]),
        ("SELECT count(*) FROM generate_series(NULL, 3)", &["<0>"]),
        (
            "SELECT sum(a.value), count(*) FROM generate_series(1, 10) a, generate_series(1, 3) b",
            &["<165> <30>"],
        ),
        ("SELECT count(*) FROM range(0, 5)", &["<5>"]),
        (
            "SELECT value FROM generate_series(timestamp '2020-01-31', timestamp '2020-03-31', interval '1 month')",
            &[
                "<2020-01-31T00:00:00>",
                "<2020-02-29T00:00:00>",
                "<2020-03-29T00:00:00>",
            ],
        ),
        (
            "SELECT value FROM generate_series(date '2020-01-01', date '2020-01-02', interval '12 hours')",
            &[
                "<2020-01-01T00:00:00>",
                "<2020-01-01T12:00:00>",
                "<2020-01-02T00:00:00>",
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_would_be_taken_for_something_else_is_refused() {
    all_say(&[
        ("SELECT 1_000", "write 1000"),
        ("SELECT 12month", "put a space behind 12"),
        (
            &format!(
                "SELECT {}1{} FROM l",
                "CASE WHEN k = 1 THEN ".repeat(17),
                " END".repeat(17)
            ),
            "one CASE with more branches",
        ),
        ("SELECT (SELECT random()) = (SELECT random())", "make the two different"),
        ("SELECT sum(CAST('1' AS decimal(70, 0)))", "may have more than 76"),
    ])
    .await;
}

#[tokio::test]
async fn clauses_that_would_be_passed_over_are_refused() {
    all_say(&[
        (
            "SELECT count(*) FROM l TABLESAMPLE BERNOULLI (10)",
            "TABLESAMPLE is not supported",
        ),
        (
            "SELECT count(*) FROM (SELECT * FROM l) TABLESAMPLE (10)",
            "TABLESAMPLE is not supported",
        ),
        ("SELECT k, count(*) FROM l GROUP BY k WITH ROLLUP", "GROUP BY ROLLUP"),
        ("SELECT k, count(*) FROM l GROUP BY ALL WITH CUBE", "GROUP BY ROLLUP"),
        ("SELECT x FROM l PREWHERE k = 1", "write WHERE"),
        ("SELECT x FROM l CONNECT BY k = 1", "CONNECT BY"),
        ("SELECT x FROM l SETTINGS a = 1", "SETTINGS"),
        ("SELECT x FROM l FOR JSON AUTO", "--format"),
        ("SELECT sum(1)(k) FROM l", "in one pair of brackets"),
        (
            "SELECT x FROM l WHERE k IN (SELECT k FROM r TABLESAMPLE (1))",
            "TABLESAMPLE",
        ),
        ("SELECT count(*) FROM l JOIN r", "CROSS JOIN"),
        ("SELECT count(*) FROM e JOIN (l LEFT JOIN r) ON true", "CROSS JOIN"),
    ])
    .await;
    all_give(&[
        ("SELECT count(*) FROM l CROSS JOIN r", &["<12>"]),
        ("SELECT count(*) FROM l FOR UPDATE", &["<4>"]),
    ])
    .await;
}

#[tokio::test]
async fn a_number_that_a_type_does_not_have_is_not_made_another() {
    all_give(&[
        (
            "SELECT CAST(1.5 AS real), CAST('inf' AS double), CAST('-Infinity' AS real), CAST('NaN' AS double)",
            &["<1.5> <inf> <-inf> <NaN>"],
        ),
        (
            "SELECT CAST(CAST('inf' AS double) AS real), CAST(1e38 AS real), to_timestamp(1.5)",
            &["<inf> <1e38> <1970-01-01T00:00:01.500Z>"],
        ),
    ])
    .await;
    all_say(&[
        ("SELECT CAST(1e300 AS real)", "too large for a real"),
        ("SELECT CAST(k * 1e300 AS real) FROM l", "too large for a real"),
        ("SELECT CAST('1e400' AS double)", "too large for a double"),
        (
            "SELECT CAST(x || '1e400' AS double) FROM (SELECT '' AS x)",
            "too large for a double",
        ),
        ("SELECT to_timestamp(1e18)", "no timestamp"),
        ("SELECT to_timestamp(CAST('NaN' AS double))", "no timestamp"),
    ])
    .await;
}
