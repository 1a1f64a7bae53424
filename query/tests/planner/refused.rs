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
