//! One test for each trap of the list, and for what the list does not name.

use datafusion::physical_plan::ExecutionPlanProperties;
use kappa_query::plan::codec::{decode_plan, encode_plan};
use kappa_query::stage::Exchange;

use crate::support::{Bench, exchanges, sorted};

#[tokio::test]
async fn q01_units_of_a_scan_read_each_row_once() {
    let bench = Bench::new().await;
    let graph = bench.session().plan("SELECT id FROM facts").await.unwrap();
    assert!(graph.stages[0].units > 4, "the scan has small units");
    bench.same("SELECT * FROM facts").await;
    bench
        .same("SELECT count(*), sum(v), count(DISTINCT k) FROM facts WHERE v > 1")
        .await;
    bench.same("SELECT a, b, count(*) FROM lines GROUP BY a, b").await;
    bench.same("SELECT n, s, count(*) FROM events GROUP BY n, s").await;
}

#[tokio::test]
async fn q02_joins_that_keep_build_rows_lose_and_double_none() {
    let bench = Bench::new().await;
    for join in ["LEFT", "RIGHT", "FULL", "INNER"] {
        for (left, right) in [
            ("dims", "facts"),
            ("facts", "dims"),
            ("more", "facts"),
            ("pairs", "more"),
        ] {
            bench
                .same(&format!(
                    "SELECT * FROM {left} AS l {join} JOIN {right} AS r ON l.k = r.k"
                ))
                .await;
            bench
                .same(&format!(
                    "SELECT l.k, r.k FROM {left} AS l {join} JOIN {right} AS r ON l.k = r.k AND l.k > 20"
                ))
                .await;
        }
    }
}

#[tokio::test]
async fn q02_semi_and_anti_joins_lose_and_double_no_rows() {
    let bench = Bench::new().await;
    for (outer, inner) in [
        ("dims", "facts"),
        ("facts", "dims"),
        ("pairs", "facts"),
        ("more", "facts"),
    ] {
        bench
            .same(&format!("SELECT * FROM {outer} o WHERE k IN (SELECT k FROM {inner})"))
            .await;
        bench
            .same(&format!(
                "SELECT * FROM {outer} o WHERE EXISTS (SELECT 1 FROM {inner} i WHERE i.k = o.k)"
            ))
            .await;
        bench
            .same(&format!(
                "SELECT * FROM {outer} o WHERE NOT EXISTS (SELECT 1 FROM {inner} i WHERE i.k = o.k)"
            ))
            .await;
        // A mark join: the subquery's answer is one of several.
        bench
            .same(&format!(
                "SELECT * FROM {outer} o WHERE k > 30 OR EXISTS (SELECT 1 FROM {inner} i WHERE i.k = o.k)"
            ))
            .await;
    }
}

#[tokio::test]
async fn q02_joins_without_equality_lose_and_double_no_rows() {
    let bench = Bench::new().await;
    for join in ["LEFT", "RIGHT", "FULL", "INNER"] {
        bench
            .same(&format!(
                "SELECT l.k, l.name, r.id FROM dims l {join} JOIN more r ON l.k > r.k + 30"
            ))
            .await;
        bench
            .same(&format!(
                "SELECT l.id, r.k FROM more l {join} JOIN pairs r ON l.k < r.k - 20"
            ))
            .await;
    }
    bench.same("SELECT * FROM dims CROSS JOIN pairs").await;
    bench.same("SELECT count(*), sum(f.id) FROM facts f, dims d").await;
    bench
        .same("SELECT k FROM dims o WHERE NOT EXISTS (SELECT 1 FROM facts i WHERE i.k > o.k)")
        .await;
    bench
        .same("SELECT k FROM pairs o WHERE EXISTS (SELECT 1 FROM facts i WHERE i.k > o.k + 4)")
        .await;
}

#[tokio::test]
async fn q03_no_unit_waits_for_another() {
    let bench = Bench::new().await;
    // Each of these has a dynamic filter by DataFusion's own settings; a unit alone would hang for ever.
    let wait = std::time::Duration::from_secs(60);
    for sql in [
        "SELECT f.id FROM facts f JOIN keyed d ON f.k = d.k WHERE d.name = 'n3'",
        "SELECT id, v FROM facts ORDER BY v DESC NULLS LAST, id LIMIT 7",
        "SELECT min(id), max(d) FROM facts",
    ] {
        tokio::time::timeout(wait, bench.same(sql)).await.expect("a unit waits");
    }
}

#[tokio::test]
async fn q04_not_in_knows_every_null() {
    let bench = Bench::new().await;
    bench
        .same("SELECT id FROM facts WHERE k NOT IN (SELECT k FROM keyed)")
        .await;
    // With a NULL on the right no row qualifies.
    bench
        .same("SELECT id FROM facts WHERE k NOT IN (SELECT k FROM dims)")
        .await;
    assert!(
        bench
            .plain("SELECT id FROM facts WHERE k NOT IN (SELECT k FROM dims)")
            .await
            .is_empty()
    );
    bench
        .same("SELECT k FROM keyed WHERE k NOT IN (SELECT k FROM facts)")
        .await;
    bench
        .same("SELECT k FROM dims WHERE k NOT IN (SELECT k FROM facts WHERE k IS NOT NULL AND k < 20)")
        .await;
    bench
        .same("SELECT id FROM facts WHERE k NOT IN (SELECT k FROM nothing)")
        .await;
    bench
        .same("SELECT id FROM more WHERE k NOT IN (SELECT k FROM facts WHERE k IS NOT NULL) AND id < 500")
        .await;
}

#[tokio::test]
async fn q05_unions_map_their_partitions() {
    let bench = Bench::new().await;
    bench
        .same("SELECT k FROM facts UNION ALL SELECT k FROM dims UNION ALL SELECT k FROM nothing")
        .await;
    // A gather inside a branch, and a branch that is always empty.
    bench
        .same(
            "SELECT k, g FROM facts UNION ALL SELECT max(k), 'max' FROM more UNION ALL \
             (SELECT k, name FROM dims ORDER BY k LIMIT 3) UNION ALL SELECT k, g FROM facts WHERE 1 = 2",
        )
        .await;
    bench.same("SELECT k FROM facts UNION SELECT k FROM more").await;
    bench
        .same(
            "SELECT k, sum(c) FROM (SELECT k, count(*) c FROM facts GROUP BY k UNION ALL \
             SELECT k, count(*) FROM more GROUP BY k) GROUP BY k",
        )
        .await;
    bench.same("SELECT k FROM facts INTERSECT SELECT k FROM more").await;
    bench.same("SELECT k FROM more EXCEPT SELECT k FROM facts").await;
}

#[tokio::test]
async fn q06_orders_are_made_again_after_a_shuffle() {
    let bench = Bench::new().await;
    bench
        .same("SELECT a.id, b.id FROM facts a JOIN more b ON a.k = b.k JOIN pairs c ON b.k = c.k WHERE a.id < 200")
        .await;
    bench
        .same("SELECT id, row_number() OVER (PARTITION BY k ORDER BY id) FROM facts")
        .await;
    bench
        .same("SELECT id, sum(v) OVER (PARTITION BY g, k ORDER BY d, id ROWS 3 PRECEDING) FROM facts")
        .await;
    bench
        .same("SELECT id, rank() OVER (ORDER BY v), lag(id) OVER (ORDER BY id) FROM facts")
        .await;
    bench
        .same("SELECT k, array_agg(id ORDER BY id), first_value(id ORDER BY d, id) FROM facts GROUP BY k")
        .await;
    bench
        .same("SELECT id, avg(v) OVER (PARTITION BY k) - min(v) OVER (PARTITION BY g) FROM facts")
        .await;
    // The order's first key is a constant, which must not be forgotten at the shuffle.
    bench
        .same("SELECT id, row_number() OVER (PARTITION BY k ORDER BY g, id) FROM facts WHERE k = 7 AND g = 'elm'")
        .await;
}

#[tokio::test]
async fn q07_a_merge_breaks_ties_in_unit_order_every_time() {
    let bench = Bench::new().await;
    let sql = "SELECT k, id FROM facts ORDER BY k LIMIT 300";
    let first = bench.staged(sql).await;
    let second = bench.staged(sql).await;
    for ((_, first), (_, second)) in first.iter().zip(&second) {
        assert_eq!(first, second, "the rows are the same, in the same order");
    }
    let graph = &first[0].0;
    assert_eq!(
        exchanges(graph, |exchange| matches!(exchange, Exchange::Merge { .. })),
        1
    );
    bench
        .same_in_order("SELECT k, id FROM facts ORDER BY k DESC NULLS FIRST, id")
        .await;
    bench
        .same_in_order("SELECT g, k, id FROM facts ORDER BY g, k, id LIMIT 100")
        .await;
}

#[tokio::test]
async fn q08_a_limit_is_computed_once() {
    let bench = Bench::new().await;
    bench
        .same_in_order("SELECT id FROM facts ORDER BY id LIMIT 10 OFFSET 20")
        .await;
    bench
        .same_in_order("SELECT id FROM facts ORDER BY id OFFSET 2490")
        .await;
    // The limited side is broadcast to every unit of the other.
    bench
        .same("SELECT f.id, l.id FROM facts f JOIN (SELECT id, k FROM more ORDER BY id LIMIT 5) l ON f.k = l.k")
        .await;
    for (graph, rows) in bench.staged("SELECT id FROM facts LIMIT 13").await {
        assert_eq!(rows.len(), 13, "{}", kappa_query::explain::explain(&graph));
    }
    for (_, rows) in bench
        .staged("SELECT l.id FROM facts f JOIN (SELECT id FROM more LIMIT 3) l ON 1 = 1")
        .await
    {
        let mut counts = std::collections::BTreeMap::new();
        rows.iter().for_each(|row| *counts.entry(row).or_insert(0) += 1);
        assert_eq!(
            counts.values().copied().collect::<Vec<_>>(),
            [2500; 3],
            "every unit has seen the same three rows"
        );
    }
    for (_, rows) in bench
        .staged("SELECT k FROM (SELECT k FROM facts WHERE k > 3 LIMIT 50) OFFSET 20")
        .await
    {
        assert_eq!(rows.len(), 30);
    }
}

#[tokio::test]
async fn q09_an_aggregate_over_nothing_has_one_row() {
    let bench = Bench::new().await;
    for table in ["empty", "nothing"] {
        bench
            .same(&format!("SELECT count(*), sum(v), max(g) FROM {table}"))
            .await;
        bench.same(&format!("SELECT k, count(*) FROM {table} GROUP BY k")).await;
        bench
            .same(&format!("SELECT count(*) FROM facts f JOIN {table} e ON f.k = e.k"))
            .await;
        bench
            .same(&format!(
                "SELECT f.id, e.id FROM more f LEFT JOIN {table} e ON f.k = e.k"
            ))
            .await;
        bench.same(&format!("SELECT * FROM {table} ORDER BY id LIMIT 3")).await;
    }
    bench.same("SELECT count(*) FROM facts WHERE 1 = 2").await;
    bench.same("SELECT sum(v) FROM facts WHERE id < 0").await;
}

#[tokio::test]
async fn q10_a_leaf_of_no_partitions_comes_back_with_none() {
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
    let bench = Bench::new().await;
    let schema = bench.session().plan("SELECT id FROM facts").await.unwrap().schema;
    for partitions in [0, 1, 3] {
        let empty = EmptyExec::new(schema.clone()).with_partitions(partitions);
        let row = PlaceholderRowExec::new(schema.clone()).with_partitions(partitions);
        let leaves: [std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>; 2] =
            [std::sync::Arc::new(empty), std::sync::Arc::new(row)];
        for leaf in leaves {
            let back = decode_plan(&encode_plan(&leaf).unwrap(), &bench.session().task_context()).unwrap();
            assert_eq!(back.name(), leaf.name());
            assert_eq!(back.output_partitioning().partition_count(), partitions);
            assert_eq!(back.schema(), leaf.schema());
        }
    }
    bench.same("SELECT 1 AS one, NULL AS nothing").await;
    bench
        .same("SELECT count(*) FROM (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT k FROM nothing)")
        .await;
}

#[tokio::test]
async fn q11_keys_of_different_types_meet() {
    let bench = Bench::new().await;
    // Int32 with Int64, with a decimal, with an expression.
    bench
        .same("SELECT f.id, m.id FROM facts f JOIN more m ON f.k = m.id")
        .await;
    bench
        .same("SELECT f.id, m.id FROM facts f JOIN more m ON f.v = m.id WHERE f.id < 900")
        .await;
    bench
        .same("SELECT f.id, p.w FROM facts f JOIN pairs p ON f.k + 1 = p.k")
        .await;
    bench
        .same("SELECT f.id, m.id FROM facts f FULL JOIN more m ON f.k = m.k AND f.g = m.g AND f.id % 3 = m.id % 3")
        .await;
    bench
        .same("SELECT f.id FROM facts f JOIN more m ON (f.k IS NOT DISTINCT FROM m.k) AND f.id = m.id")
        .await;
}

#[tokio::test]
async fn q13_a_common_table_is_computed_once() {
    let bench = Bench::new().await;
    let cte = "WITH t AS (SELECT k, sum(v) AS s FROM facts GROUP BY k) ";
    let twice = format!("{cte} SELECT a.k, a.s, b.s FROM t a JOIN t b ON a.k = b.k");
    bench.same(&twice).await;
    let graph = bench.session().plan(&twice).await.unwrap();
    let scans = kappa_query::explain::explain(&graph).matches("DataSourceExec").count();
    assert_eq!(scans, 1, "{}", kappa_query::explain::explain(&graph));
}

#[tokio::test]
async fn q13_volatile_stages_are_not_made_one() {
    let bench = Bench::new().await;
    let sql = "SELECT a.r FROM (SELECT DISTINCT random() AS r FROM facts) a JOIN \
               (SELECT DISTINCT random() AS r FROM facts) b ON a.r = b.r";
    for (graph, rows) in bench.staged(sql).await {
        assert!(
            rows.is_empty(),
            "two draws of 2500 numbers have none in common: {}",
            rows.len()
        );
        assert_eq!(kappa_query::explain::explain(&graph).matches("random()").count(), 2);
    }
}

#[tokio::test]
async fn q14_the_time_is_that_of_planning() {
    let bench = Bench::new().await;
    let graph = bench
        .session()
        .plan("SELECT now() AS t, id FROM facts WHERE id < 3")
        .await
        .unwrap();
    let first = kappa_query::reference::run(&graph, bench.session()).await.unwrap();
    let second = kappa_query::reference::run(&graph, bench.session()).await.unwrap();
    assert_eq!(
        sorted(crate::support::rows(&first)),
        sorted(crate::support::rows(&second))
    );
}

#[tokio::test]
async fn q15_no_string_views_reach_a_shuffle() {
    use datafusion::arrow::datatypes::DataType;
    let bench = Bench::new().await;
    for sql in [
        "SELECT upper(g) || 'x', cast(k AS varchar) FROM facts UNION ALL SELECT b, 'a' FROM lines",
        "SELECT g, min(s), substr(min(g), 1, 2) FROM facts JOIN events ON k = n GROUP BY g",
    ] {
        bench.same(sql).await;
        for stage in bench.session().plan(sql).await.unwrap().stages {
            for field in stage.fragment.schema().fields() {
                assert!(
                    !matches!(field.data_type(), DataType::Utf8View | DataType::BinaryView),
                    "{sql}: {field:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn q16_scalar_subqueries_are_stages_of_their_own() {
    let bench = Bench::new().await;
    bench
        .same("SELECT id FROM facts WHERE v > (SELECT avg(v) FROM facts)")
        .await;
    bench
        .same("SELECT id, (SELECT max(id) FROM more) - id FROM facts")
        .await;
    bench
        .same(
            "SELECT k, count(*) FROM facts WHERE k > (SELECT min(k) FROM dims) GROUP BY k \
             HAVING count(*) > (SELECT count(*) FROM keyed) AND sum(id) > (SELECT sum(id) FROM empty WHERE k = 0)",
        )
        .await;
    // The value may come out of a sort with a limit, whose stage is merged.
    bench
        .same("SELECT id FROM facts WHERE k = (SELECT k FROM facts ORDER BY k DESC, id LIMIT 1)")
        .await;
    // No row is NULL; nested levels have slots of their own.
    bench.same("SELECT id, (SELECT k FROM nothing) FROM facts").await;
    bench
        .same(
            "SELECT id FROM facts WHERE k = (SELECT min(k) FROM pairs WHERE k > (SELECT min(k) + 3 FROM pairs)) \
             OR k = (SELECT max(k) FROM keyed)",
        )
        .await;
    bench
        .same("SELECT id FROM facts WHERE k IN (SELECT k FROM dims WHERE k > (SELECT avg(k) FROM pairs))")
        .await;
    bench
        .same_in_order("SELECT id FROM facts ORDER BY id * (SELECT min(k) - 6 FROM pairs) LIMIT 9")
        .await;
    bench
        .same("SELECT f.id FROM facts f LEFT JOIN more m ON f.k = m.k AND m.id > (SELECT avg(id) FROM more)")
        .await;
}

#[tokio::test]
async fn q16_more_than_one_row_stays_an_error() {
    let bench = Bench::new().await;
    bench
        .fails(
            "SELECT id FROM facts WHERE k = (SELECT k FROM keyed)",
            "more than one row",
        )
        .await;
    bench
        .fails(
            "SELECT id, (SELECT k FROM keyed WHERE k < 12) FROM facts",
            "more than one row",
        )
        .await;
}

#[tokio::test]
async fn q18_filters_are_applied_once_and_wholly() {
    let bench = Bench::new().await;
    bench
        .same("SELECT id FROM facts WHERE k BETWEEN 3 AND 9 AND g <> 'elm' AND v < 500 AND d > '1997-06-01'")
        .await;
    bench
        .same("SELECT id FROM facts WHERE k = 5 OR g IS NULL OR v IN (1, 2, 3)")
        .await;
    // Doubled, they would change no row.
    for (graph, _) in bench
        .staged("SELECT g FROM facts WHERE v < 417 AND d > '1997-06-01'")
        .await
    {
        let text = kappa_query::explain::explain(&graph);
        let filters: Vec<_> = text.lines().filter(|line| line.contains("FilterExec: ")).collect();
        let scans: Vec<_> = text
            .lines()
            .filter_map(|line| line.split(" predicate=").nth(1))
            .collect();
        let scans: Vec<_> = scans
            .iter()
            .filter_map(|rest| rest.split(", pruning_predicate=").next())
            .collect();
        for place in [filters, scans] {
            for line in place {
                assert_eq!(line.matches("< 417").count(), 1, "{text}");
            }
        }
        assert!(text.contains("< 417"), "{text}");
    }
}

#[tokio::test]
async fn q19_plans_do_not_grow_with_statistics() {
    let bench = Bench::new().await;
    let graph = bench.session().plan("SELECT id FROM facts").await.unwrap();
    let units = graph.stages[0].units;
    let bytes = graph.to_bytes().unwrap().len();
    assert!(bytes < 1000 + units * 300, "{bytes} bytes for {units} units");
}

#[tokio::test]
async fn q22_doubled_rows_stay_doubled() {
    let bench = Bench::new().await;
    bench.same("SELECT g, k % 3 FROM facts").await;
    bench.same("SELECT p.k FROM pairs p JOIN pairs q ON p.k = q.k").await;
}

/// DataFusion itself forgets how often a row is there, so the expectation counts.
#[tokio::test]
async fn q22_intersect_all_and_except_all_count() {
    let bench = Bench::new().await;
    let counted = |rows: &str| {
        format!(
            "SELECT k FROM (SELECT k, unnest(range(0, greatest({rows}, 0))) FROM (SELECT k, sum(a) AS a, sum(b) AS b FROM \
             (SELECT k, 1 AS a, 0 AS b FROM facts UNION ALL SELECT k, 0, 1 FROM more) GROUP BY k))"
        )
    };
    for (operation, rows) in [("INTERSECT", "least(a, b)"), ("EXCEPT", "a - b")] {
        let expected = sorted(bench.plain(&counted(rows)).await);
        assert!(expected.len() > 100, "{operation}");
        let sql = format!("SELECT k FROM facts {operation} ALL SELECT k FROM more");
        for (_, rows) in bench.staged(&sql).await {
            assert_eq!(sorted(rows), expected, "{sql}");
        }
    }
}

#[tokio::test]
async fn grouping_sets_windows_and_distinct_aggregates_are_right() {
    let bench = Bench::new().await;
    bench
        .same("SELECT g, k, count(*), sum(v) FROM facts GROUP BY ROLLUP (g, k)")
        .await;
    bench
        .same("SELECT g, k, grouping(g) FROM facts GROUP BY GROUPING SETS ((g), (k), ())")
        .await;
    bench
        .same("SELECT count(DISTINCT k), count(DISTINCT g), sum(v) FROM facts")
        .await;
    bench
        .same("SELECT g, count(DISTINCT k), avg(v) FROM facts GROUP BY g")
        .await;
    bench.same("SELECT DISTINCT g, k FROM facts").await;
    bench
        .same("SELECT sum(v) FILTER (WHERE k > 5), count(*) FILTER (WHERE g IS NULL) FROM facts")
        .await;
    bench
        .same("SELECT g, rank() OVER (ORDER BY sum(v) DESC) FROM facts GROUP BY g")
        .await;
    bench
        .same("SELECT sum(count(*)) OVER (PARTITION BY g ORDER BY k), g, k FROM facts GROUP BY g, k")
        .await;
    bench.same("SELECT unnest(array_agg(k)) FROM dims").await;
    bench
        .same("SELECT value FROM generate_series(1, 50) JOIN dims ON value = k")
        .await;
    bench
        .same("SELECT * FROM (VALUES (1, 'a'), (10, 'b'), (11, NULL)) v(k, s) JOIN facts USING (k)")
        .await;
    bench.same("SELECT median(id), approx_distinct(k), string_agg(DISTINCT name, ',' ORDER BY name) FROM facts JOIN dims USING (k)").await;
}

#[tokio::test]
async fn joins_of_joins_are_right() {
    let bench = Bench::new().await;
    bench
        .same(
            "SELECT d.name, count(*), sum(f.v) FROM facts f JOIN dims d ON f.k = d.k LEFT JOIN pairs p ON p.k = d.k \
             WHERE f.id NOT IN (SELECT id FROM more WHERE id % 2 = 0) GROUP BY d.name",
        )
        .await;
    bench
        .same(
            "SELECT f.g, m.g, count(*) FROM facts f FULL JOIN more m ON f.id = m.id AND f.k = m.k \
             LEFT JOIN dims d ON d.k = coalesce(f.k, m.k) GROUP BY f.g, m.g",
        )
        .await;
    bench
        .same(
            "SELECT x.k, x.c, y.c FROM (SELECT k, count(*) c FROM facts GROUP BY k) x LEFT JOIN \
             (SELECT k, count(*) c FROM more GROUP BY k) y ON x.k = y.k WHERE x.c > 5",
        )
        .await;
}

#[tokio::test]
async fn q17_a_part_of_a_file_claims_nothing_about_the_whole() {
    use datafusion::common::stats::Precision;
    use datafusion::datasource::physical_plan::FileScanConfig;
    use datafusion::datasource::source::DataSourceExec;
    let bench = Bench::new().await;
    let graph = bench.session().plan("SELECT id, v FROM facts").await.unwrap();
    let scan = graph.stages[0].fragment.downcast_ref::<DataSourceExec>().unwrap();
    let files = scan.data_source().downcast_ref::<FileScanConfig>().unwrap();
    assert_eq!(files.statistics().num_rows, Precision::Absent);
    assert!(
        files
            .file_groups
            .iter()
            .flat_map(|group| group.iter())
            .all(|file| file.statistics.is_none())
    );
    // Counting is answered from statistics when the query is planned, of whole files, and only then.
    let counted = bench.session().plan("SELECT count(*) FROM facts").await.unwrap();
    assert_eq!(counted.stages.len(), 1);
    bench.same("SELECT count(*), min(id), max(k) FROM facts").await;
}
