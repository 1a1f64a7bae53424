//! What cannot run says so before anything runs, in a sentence.

use crate::support::Bench;

async fn refusal(sql: &str) -> String {
    Bench::new().await.session().plan(sql).await.unwrap_err().to_string()
}

#[tokio::test]
async fn q20_recursive_queries_are_refused_before_anything_runs() {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n";
    let message = refusal(sql).await;
    assert!(message.contains("WITH RECURSIVE"), "{message}");
    assert!(message.contains("cannot be run in stages"), "{message}");
}

#[tokio::test]
async fn writing_statements_are_refused() {
    let message = refusal("COPY (SELECT 1) TO 'x.parquet'").await;
    assert!(message.contains("cannot be run in stages"), "{message}");
    assert!(!std::path::Path::new("x.parquet").exists());
}

#[tokio::test]
async fn limits_that_do_not_fit_the_protocol_are_refused() {
    let message = refusal("SELECT id FROM facts LIMIT 10 OFFSET 5000000000").await;
    assert!(message.contains("too large"), "{message}");
}

#[tokio::test]
async fn wrong_sql_says_where() {
    let message = refusal("SELECT 1 +").await;
    assert!(message.contains("Expected: an expression"), "{message}");
    let message = refusal("SELECT no_such_column FROM facts").await;
    assert!(message.contains("no_such_column"), "{message}");
    let message = refusal("SELECT * FROM no_such_table").await;
    assert!(message.contains("no_such_table"), "{message}");
    let message = refusal("SELECT 1; SELECT 2").await;
    assert!(message.contains("exactly one query"), "{message}");
    let message = refusal("").await;
    assert!(message.contains("exactly one query"), "{message}");
}

/// TRAPS q12, q13: DataFusion would draw once for each reader.
#[tokio::test]
async fn q13_a_volatile_common_table_expression_is_read_once_or_refused() {
    let bench = Bench::new().await;
    bench.session().parse("").unwrap();
    for statement in bench
        .session()
        .parse("CREATE VIEW dice AS SELECT id, random() AS r FROM facts")
        .unwrap()
    {
        bench.session().prepare(statement).await.unwrap();
    }
    for sql in [
        "WITH c AS (SELECT id, random() AS r FROM facts) SELECT count(*) FROM c a JOIN c b ON a.id = b.id WHERE a.r <> b.r",
        "WITH c AS (SELECT id, random() AS r FROM facts), d AS (SELECT * FROM c) SELECT count(*) FROM d a JOIN d b ON a.r = b.r",
        "WITH c AS (SELECT uuid() AS r), d AS (SELECT r FROM c) SELECT * FROM c JOIN d ON c.r = d.r",
        "SELECT * FROM (WITH \"C\" AS (SELECT random() AS r) SELECT * FROM \"C\" UNION ALL SELECT * FROM \"C\")",
        "WITH c AS (SELECT * FROM dice) SELECT count(*) FROM c a JOIN c b ON a.r = b.r",
        "EXPLAIN WITH c AS (SELECT random() AS r) SELECT * FROM c a, c b",
    ] {
        let statement = bench.session().parse(sql).unwrap().remove(0);
        let said = bench.session().prepare(statement).await.unwrap_err().to_string();
        assert!(
            said.contains("reading the common table expression") && said.contains("random()"),
            "{sql}: {said}"
        );
    }
    for sql in [
        "WITH c AS (SELECT id, random() AS r FROM facts) SELECT count(r) FROM c",
        "WITH c AS (SELECT id FROM facts WHERE k = 3) SELECT count(*) FROM c a JOIN c b ON a.id = b.id",
        "SELECT count(*) FROM dice a JOIN dice b ON a.id = b.id",
    ] {
        bench.session().plan(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

#[tokio::test]
async fn a_function_or_a_setting_that_workers_do_not_know_is_refused_by_name() {
    use datafusion::arrow::datatypes::DataType;
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
    use std::sync::Arc;
    let function = |name: &str, returned: DataType| {
        let body = |args: &[ColumnarValue]| Ok(args[0].clone());
        create_udf(
            name,
            vec![DataType::Int64],
            returned,
            Volatility::Immutable,
            Arc::new(body),
        )
    };
    let bench = Bench::new().await;
    let context = bench.session().context();
    context.register_udf(function("mine", DataType::Int64));
    let said = bench
        .session()
        .plan("SELECT mine(id) FROM facts")
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("the function mine cannot be run in stages"), "{said}");
    // One that takes the place of another would be that other one on a worker.
    context.register_udf(function("abs", DataType::Int64));
    let said = bench
        .session()
        .plan("SELECT abs(id) FROM facts")
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("abs is another function there"), "{said}");

    let bench = Bench::new().await;
    let setting = "SET datafusion.execution.parquet.pushdown_filters = true";
    bench
        .session()
        .context()
        .sql(setting)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let said = bench
        .session()
        .plan("SELECT id FROM facts")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("pushdown_filters = true cannot be run in stages") && said.contains("by SET"),
        "{said}"
    );
}
