//! What DataFusion answers wrongly is right or refused: one test for each rule.

use crate::support;
use kappa_query::reference;
use kappa_query::session::Session;

/// `l` has the keys 1, 2, 2, NULL; `r` 2, 3, NULL; `e` none. Between the times of `ts` are a day and 90 minutes.
fn tables() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("l", "k,x\n1,a\n2,b\n2,c\n,d\n"),
        ("r", "k,y\n2,p\n3,q\n,s\n"),
        ("e", "k,z\n"),
        ("l2", "k,j\n1,0\n"),
        ("r2", "k,j\n,5\n"),
        (
            "ts",
            "t1,t2\n2024-01-01 00:00:00,2024-01-02 00:00:00\n2024-01-01 00:00:00,2024-01-01 01:30:00\n",
        ),
    ] {
        std::fs::write(folder.path().join(format!("{name}.csv")), text).unwrap();
    }
    folder
}

async fn ask(session: &Session, sql: &str) -> Result<Vec<String>, String> {
    let graph = session.plan(sql).await.map_err(|e| e.to_string())?;
    let rows = reference::run(&graph, session).await.map_err(|e| e.to_string())?;
    Ok(support::sorted(support::rows(&rows)))
}

/// Whichever way its joins are done, each gives these rows, sorted.
pub(crate) async fn all_give(cases: &[(&str, &[&str])]) {
    let folder = tables();
    for (way, settings) in support::WAYS {
        let (session, _) = support::session(&folder, settings).await;
        for (sql, expected) in cases {
            let found = ask(&session, sql)
                .await
                .unwrap_or_else(|error| panic!("{way}: {sql}: {error}"));
            assert_eq!(found, *expected, "{way}: {sql}");
        }
    }
}

pub(crate) async fn all_say(cases: &[(&str, &str)]) {
    let folder = tables();
    let (session, _) = support::session(&folder, &[]).await;
    for (sql, words) in cases {
        let said = ask(&session, sql).await.expect_err(sql);
        assert!(said.contains(words), "{sql}: {said}");
    }
}

#[tokio::test]
async fn the_key_of_full_and_right_joins_is_that_of_the_side_that_has_the_row() {
    let right: &[&str] = &["<2> <b> <p>", "<2> <c> <p>", "<3> <NULL> <q>", "<NULL> <NULL> <s>"];
    let full: &[&str] = &[
        "<1> <a> <NULL>",
        "<2> <b> <p>",
        "<2> <c> <p>",
        "<3> <NULL> <q>",
        "<NULL> <NULL> <s>",
        "<NULL> <d> <NULL>",
    ];
    all_give(&[
        ("SELECT k, x, y FROM l RIGHT JOIN r USING (k)", right),
        ("SELECT * FROM l FULL JOIN r USING (k)", full),
        ("SELECT * FROM l NATURAL FULL JOIN r", full),
        (
            "SELECT k, x, y FROM l FULL JOIN r USING (k) FULL JOIN e USING (k)",
            full,
        ),
        (
            "SELECT k, x, y FROM l FULL JOIN r USING (k) LEFT JOIN e USING (k)",
            full,
        ),
        (
            "SELECT k, count(*) FROM l FULL JOIN r USING (k) WHERE k > 1 GROUP BY k",
            &["<2> <2>", "<3> <1>"],
        ),
        ("SELECT a.k, b.k FROM l a JOIN r b USING (k)", &["<2> <2>", "<2> <2>"]),
    ])
    .await;
    all_say(&[
        ("SELECT l.k FROM l FULL JOIN r USING (k)", "l.k"),
        ("SELECT l.* FROM l FULL JOIN r USING (k)", "write the columns"),
    ])
    .await;
}

#[tokio::test]
async fn membership_as_a_value_is_true_false_or_null() {
    all_give(&[
        (
            "SELECT k, k IN (SELECT k FROM r) FROM l",
            &["<1> <NULL>", "<2> <true>", "<2> <true>", "<NULL> <NULL>"],
        ),
        (
            "SELECT k, k NOT IN (SELECT k FROM r WHERE k > 0) FROM l",
            &["<1> <true>", "<2> <false>", "<2> <false>", "<NULL> <NULL>"],
        ),
        (
            "SELECT k IN (SELECT k FROM e) FROM l",
            &["<false>", "<false>", "<false>", "<false>"],
        ),
        (
            "SELECT count(*) FROM l WHERE (k IN (SELECT k FROM r)) IS NULL",
            &["<2>"],
        ),
        (
            "SELECT count(*) FROM l WHERE k = 1 OR k NOT IN (SELECT k FROM r)",
            &["<1>"],
        ),
        (
            "SELECT count(*) FROM l WHERE x = 'a' OR k IN (SELECT k FROM r)",
            &["<3>"],
        ),
        ("SELECT count(*) FROM l WHERE NOT (k IN (SELECT k FROM r))", &["<0>"]),
        ("SELECT count(*) FILTER (WHERE k IN (SELECT k FROM r)) FROM l", &["<2>"]),
    ])
    .await;
}

#[tokio::test]
async fn subqueries_of_aggregates_keep_their_one_row_or_are_refused() {
    all_give(&[(
        "SELECT count(*) FROM l WHERE EXISTS (SELECT count(*) FROM r WHERE r.k = l.k)",
        &["<4>"],
    )])
    .await;
    all_say(&[
        (
            "SELECT k FROM l WHERE EXISTS (SELECT count(*) FROM r WHERE r.k = l.k HAVING count(*) > 1)",
            "count(*)",
        ),
        (
            "SELECT k FROM l WHERE k IN (SELECT count(*) FROM r WHERE r.k = l.k)",
            "correlated",
        ),
        (
            "SELECT k FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k OFFSET 1)",
            "OFFSET",
        ),
        (
            "SELECT (SELECT y FROM r WHERE r.k = l.k ORDER BY y LIMIT 1) FROM l",
            "correlated",
        ),
    ])
    .await;
}

#[tokio::test]
async fn numbers_that_do_not_fit_are_an_error_and_nothing_wraps() {
    let large = "(SELECT 9223372036854775807 AS v FROM l UNION ALL SELECT 1)";
    let sum = format!("SELECT sum(v) FROM {large}");
    let plus = format!("SELECT v + 1 FROM {large}");
    let times = format!("SELECT v * 2 FROM {large}");
    let minus = format!("SELECT -(-v - 1) FROM {large}");
    let window = format!("SELECT sum(v) OVER (ORDER BY v) FROM {large}");
    all_say(&[
        (&sum, "overflow"),
        (&plus, "verflow"),
        (&times, "verflow"),
        (&minus, "verflow"),
        (&window, "overflow"),
        ("SELECT 9223372036854775807 + 1", "overflow"),
        ("SELECT 4611686018427387904 * 2", "overflow"),
        (
            "SELECT CAST('99999999999999999999999999999999999999' AS decimal(38, 0)) + 1",
            "overflow",
        ),
    ])
    .await;
    let wide = format!("SELECT sum(CAST(v AS decimal(38, 0))) FROM {large}");
    all_give(&[
        (&wide, &["<36893488147419103229>"]),
        ("SELECT sum(k), sum(DISTINCT k) FROM l", &["<5> <3>"]),
        (
            "SELECT 99999999999999999999, 12345678901234567.89",
            &["<99999999999999999999> <12345678901234567.89>"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_has_several_meanings_is_refused() {
    all_say(&[
        (
            "SELECT interval '1 month' > interval '30 days'",
            "no order and no equality",
        ),
        ("SELECT timestamp '2024-01-01 00:00:00+02:00'", "zone"),
        ("SELECT k FROM l ORDER BY k FETCH FIRST 1 ROW WITH TIES", "WITH TIES"),
    ])
    .await;
}

#[tokio::test]
async fn fetch_first_is_the_standards_limit() {
    all_give(&[
        (
            "SELECT k FROM l ORDER BY k OFFSET 1 ROWS FETCH FIRST 2 ROWS ONLY",
            &["<2>", "<2>"],
        ),
        ("SELECT k FROM l ORDER BY k FETCH NEXT ROW ONLY", &["<1>"]),
    ])
    .await;
}

#[tokio::test]
async fn operations_on_bags_count_nulls_too() {
    all_give(&[
        ("SELECT k FROM l INTERSECT ALL SELECT k FROM r", &["<2>", "<NULL>"]),
        ("SELECT k FROM l EXCEPT ALL SELECT k FROM r", &["<1>", "<2>"]),
        (
            "SELECT k FROM l EXCEPT ALL (SELECT k FROM r INTERSECT ALL SELECT k FROM l) ORDER BY k",
            &["<1>", "<2>"],
        ),
        (
            "SELECT k FROM l UNION ALL SELECT k FROM r EXCEPT ALL SELECT k FROM l",
            &["<2>", "<3>", "<NULL>"],
        ),
    ])
    .await;
}
