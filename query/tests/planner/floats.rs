//! NaN of either sign is one value, the greatest, and there is one zero; in every clause that compares.

use crate::support;
use datafusion::arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use kappa_query::reference;
use kappa_query::session::Session;
use std::sync::Arc;

/// Of `i`: 1, NaN, -NaN, -0, 0, NULL, infinity, -NaN; the same in `f` and `r`; row groups of two rows.
async fn session() -> (tempfile::TempDir, Session) {
    let nan = f64::NAN.abs();
    let floats = [
        Some(1.0),
        Some(nan),
        Some(-nan),
        Some(-0.0),
        Some(0.0),
        None,
        Some(f64::INFINITY),
        Some(-nan),
    ];
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..8));
    let singles: Float32Array = floats.iter().map(|float| float.map(|float| float as f32)).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("i", numbers),
        ("f", Arc::new(Float64Array::from_iter(floats))),
        ("r", Arc::new(singles)),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("t.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    for start in [0, 2, 4, 6] {
        writer.write(&batch.slice(start, 2)).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder.path()).await.unwrap();
    (folder, session)
}

async fn all_give(cases: &[(&str, &[&str])]) {
    let (_folder, session) = session().await;
    for (sql, expected) in cases {
        let graph = session.plan(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = reference::run(&graph, &session)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(support::sorted(support::rows(&rows)), *expected, "{sql}");
    }
}

#[tokio::test]
async fn nan_of_either_sign_is_equal_to_nan_and_greater_than_numbers() {
    let nans: &[&str] = &["<1>", "<2>", "<7>"];
    all_give(&[
        ("SELECT i FROM t WHERE f = 'NaN'::double", nans),
        ("SELECT i FROM t WHERE r = 'NaN'::real", nans),
        ("SELECT i FROM t WHERE f = 0.0::double / 0.0::double", nans),
        ("SELECT i FROM t WHERE f > 'inf'::double", nans),
        ("SELECT i FROM t WHERE f IN ('NaN'::double, 7)", nans),
        ("SELECT i FROM t WHERE f BETWEEN 'NaN'::double AND '-NaN'::double", nans),
        ("SELECT i FROM t WHERE f IS NOT DISTINCT FROM 'NaN'::double", nans),
        (
            "SELECT i FROM t WHERE CASE f WHEN 'NaN'::double THEN true ELSE false END",
            nans,
        ),
        (
            "SELECT i FROM t WHERE nullif(f, 'NaN'::double) IS NULL AND f IS NOT NULL",
            nans,
        ),
        ("SELECT i FROM t WHERE greatest(f, 5) = f AND f <> 'inf'::double", nans),
        (
            "SELECT i FROM t WHERE least(f, 5) = 5",
            &["<1>", "<2>", "<5>", "<6>", "<7>"],
        ),
        ("SELECT i FROM t WHERE f IN (SELECT -f FROM t WHERE i = 1)", nans),
        ("SELECT i FROM t WHERE f < 1", &["<3>", "<4>"]),
        (
            "SELECT i FROM t WHERE f < 1 OR f IS NULL OR f = 1",
            &["<0>", "<3>", "<4>", "<5>"],
        ),
        ("SELECT i FROM t WHERE NOT (f <= 1)", &["<1>", "<2>", "<6>", "<7>"]),
        (
            "SELECT i FROM t WHERE f <> 'NaN'::double",
            &["<0>", "<3>", "<4>", "<6>"],
        ),
        ("SELECT i FROM t WHERE f = -0.0", &["<3>", "<4>"]),
        ("SELECT i FROM t WHERE f < 0.0 OR f > -0.0 AND f < 1", &[]),
        ("SELECT i FROM t WHERE i > 6.5", &["<7>"]),
    ])
    .await;
}

#[tokio::test]
async fn nan_of_either_sign_is_one_group_and_one_key() {
    let groups: &[&str] = &["<1> <1>", "<1> <NULL>", "<1> <inf>", "<2> <0>", "<3> <NaN>"];
    let groups: Vec<String> = groups
        .iter()
        .map(|row| row.replace("<0>", "<0.0>").replace("<1> <1>", "<1> <1.0>"))
        .collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let distinct: &[&str] = &["<0.0>", "<1.0>", "<NULL>", "<NaN>", "<inf>"];
    all_give(&[
        ("SELECT count(*), f FROM t GROUP BY f", &groups),
        ("SELECT count(*), r FROM t GROUP BY r", &groups),
        (
            "SELECT count(*) FROM (SELECT -f AS g FROM t) GROUP BY ROLLUP (g, g > 1)",
            &[
                "<1>", "<1>", "<1>", "<1>", "<1>", "<1>", "<2>", "<2>", "<3>", "<3>", "<8>",
            ],
        ),
        ("SELECT DISTINCT f FROM t", distinct),
        ("SELECT f FROM t UNION SELECT f FROM t", distinct),
        ("SELECT f FROM t INTERSECT SELECT abs(f) FROM t", distinct),
        (
            "SELECT f FROM t EXCEPT SELECT -f FROM t WHERE i = 1",
            &["<0.0>", "<1.0>", "<NULL>", "<inf>"],
        ),
        (
            "SELECT DISTINCT ON (f) f IS NULL FROM t ORDER BY f",
            &["<false>", "<false>", "<false>", "<false>", "<true>"],
        ),
        ("SELECT count(DISTINCT f), count(DISTINCT r) FROM t", &["<4> <4>"]),
        // 9 pairs of NaN, 4 of zeros, and two of others.
        ("SELECT count(*) FROM t a JOIN t b ON a.f = b.f", &["<15>"]),
        ("SELECT count(*) FROM t a JOIN t b USING (f)", &["<15>"]),
        (
            "SELECT count(*) FROM t a JOIN t b USING (f) JOIN t c USING (f)",
            &["<37>"],
        ),
        ("SELECT count(*) FROM t a JOIN t b ON a.f < b.f", &["<17>"]),
        (
            "SELECT count(*) FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.f = -a.f)",
            &["<5>"],
        ),
        (
            "SELECT i, rank() OVER (ORDER BY f) FROM t WHERE i IN (1, 2, 6)",
            &["<1> <2>", "<2> <2>", "<6> <1>"],
        ),
        ("SELECT median(f) FROM t WHERE i IN (0, 2, 7)", &["<NaN>"]),
        ("SELECT min(f), max(f) FROM t WHERE i IN (0, 2, 6)", &["<1.0> <NaN>"]),
    ])
    .await;
}

#[tokio::test]
async fn what_has_left_the_frame_of_a_window_leaves_nothing_behind() {
    const ROWS: &str =
        "FROM (VALUES (1, 1e300), (2, 1e0), (3, 2e0), (4, 'inf'::double), (5, 3e0), (6, 4e0)) AS v(k, x)";
    let asked = |of: &str, frame: &str| format!("SELECT k, {of} OVER (ORDER BY k {frame}) {ROWS}");
    let sum = asked("sum(x)", "ROWS 1 PRECEDING");
    let average = asked("avg(x)", "ROWS 1 PRECEDING");
    let spread = asked("var_pop(x)", "ROWS 1 PRECEDING");
    let ahead = asked("sum(x)", "ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING");
    let filtered = asked("sum(x) FILTER (WHERE k <> 2)", "ROWS 1 PRECEDING");
    let regression = asked("regr_slope(x, k)", "ROWS 1 PRECEDING");
    all_give(&[
        (
            &sum,
            &[
                "<1> <1e300>",
                "<2> <1e300>",
                "<3> <3.0>",
                "<4> <inf>",
                "<5> <inf>",
                "<6> <7.0>",
            ],
        ),
        (
            &average,
            &[
                "<1> <1e300>",
                "<2> <5e299>",
                "<3> <1.5>",
                "<4> <inf>",
                "<5> <inf>",
                "<6> <3.5>",
            ],
        ),
        (
            &spread,
            &[
                "<1> <0.0>",
                "<2> <NaN>",
                "<3> <0.25>",
                "<4> <NaN>",
                "<5> <NaN>",
                "<6> <0.25>",
            ],
        ),
        (
            &ahead,
            &[
                "<1> <3.0>",
                "<2> <inf>",
                "<3> <inf>",
                "<4> <7.0>",
                "<5> <4.0>",
                "<6> <NULL>",
            ],
        ),
        (
            &filtered,
            &[
                "<1> <1e300>",
                "<2> <1e300>",
                "<3> <2.0>",
                "<4> <inf>",
                "<5> <inf>",
                "<6> <7.0>",
            ],
        ),
        (
            &regression,
            &[
                "<1> <NULL>",
                "<2> <-1e300>",
                "<3> <1.0>",
                "<4> <NaN>",
                "<5> <NaN>",
                "<6> <1.0>",
            ],
        ),
    ])
    .await;
}
