//! Folders of data.

use std::fs;
use std::path::Path;

use kappa_query::planner::Prepared;
use kappa_query::session::Session;

use crate::{data, support};

async fn register(folder: &Path) -> Result<Vec<String>, String> {
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder).await.map_err(|e| e.to_string())
}

/// What is said to whoever asks for a table that cannot be used.
async fn refusal(folder: &Path, table: &str) -> String {
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder).await.unwrap();
    // Others are there as if nothing was wrong.
    session.plan("SELECT 1").await.unwrap();
    session
        .plan(&format!("SELECT * FROM {table}"))
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn every_file_and_folder_of_files_is_a_table() {
    let folder = data::tables();
    fs::write(folder.path().join("notes.txt"), "not data").unwrap();
    fs::write(folder.path().join(".hidden.csv"), "a\n1\n").unwrap();
    fs::create_dir(folder.path().join("_temporary")).unwrap();
    let tables = register(folder.path()).await.unwrap();
    assert_eq!(
        tables,
        [
            "dims", "empty", "events", "facts", "keyed", "lines", "more", "nothing", "pairs"
        ]
    );
}

#[tokio::test]
async fn names_with_odd_characters_are_read_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a [b] %20 #1?.csv"), "x\n1\n2\n").unwrap();
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder.path()).await.unwrap();
    let graph = session.plan("SELECT sum(x) FROM \"a [b] %20 #1?\"").await.unwrap();
    let rows = kappa_query::reference::run(&graph, &session).await.unwrap();
    assert_eq!(support::rows(&rows), ["<3>"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let message = register(&missing).await.unwrap_err();
    assert!(message.contains("missing: there is no such folder"), "{message}");

    let message = register(folder.path()).await.unwrap_err();
    assert!(message.contains("holds no .parquet"), "{message}");

    let file = folder.path().join("file.csv");
    fs::write(&file, "a\n1\n").unwrap();
    let message = register(&file).await.unwrap_err();
    assert!(message.contains("is a file"), "{message}");

    fs::write(folder.path().join("file.json"), "{\"a\": 1}\n").unwrap();
    let message = refusal(folder.path(), "file").await;
    assert!(
        message.contains("file.csv") && message.contains("file.json"),
        "{message}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let folder = data::tables();
    let corrupt = folder.path().join("facts/part-3.parquet");
    let bytes = fs::read(&corrupt).unwrap();
    fs::write(&corrupt, &bytes[..bytes.len() / 2]).unwrap();
    let message = refusal(folder.path(), "facts").await;
    assert!(
        message.contains("part-3.parquet") && message.contains("Parquet"),
        "{message}"
    );

    fs::remove_file(&corrupt).unwrap();
    fs::write(folder.path().join("facts/other.csv"), "a\n1\n").unwrap();
    let message = refusal(folder.path(), "facts").await;
    assert!(message.contains("facts") && message.contains("CSV"), "{message}");

    fs::remove_file(folder.path().join("facts/other.csv")).unwrap();
    fs::write(folder.path().join("lines.csv"), "").unwrap();
    let message = refusal(folder.path(), "lines").await;
    assert!(message.contains("lines.csv"), "{message}");
}

#[tokio::test]
async fn statements_about_the_session_are_carried_out() {
    let folder = data::tables();
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder.path()).await.unwrap();
    let text = "CREATE VIEW big AS SELECT * FROM facts WHERE id > 2400; SELECT count(*) FROM big; EXPLAIN SELECT * FROM big; EXPLAIN ANALYZE SELECT 1";
    let mut kinds = Vec::new();
    for statement in session.parse(text).unwrap() {
        kinds.push(match session.prepare(statement).await.unwrap() {
            Prepared::Done => "done",
            Prepared::Query(graph) => {
                let rows = kappa_query::reference::run(&graph, &session).await.unwrap();
                assert_eq!(support::rows(&rows), ["<99>"]);
                "query"
            }
            Prepared::Explain(_) => "explain",
            Prepared::ExplainAnalyze(_) => "analyze",
        });
    }
    assert_eq!(kinds, ["done", "query", "explain", "analyze"]);
}

#[tokio::test]
async fn settings_reach_the_workers_and_others_are_refused_with_those_that_can_be_changed() {
    let session = Session::new(support::options()).unwrap();
    let prepared = async |sql: &str| session.prepare(session.parse(sql).unwrap().remove(0)).await;
    prepared("SET datafusion.execution.time_zone = '+05:00'").await.unwrap();
    prepared("SET datafusion.execution.batch_size = 100").await.unwrap();
    let worker = Session::new(session.current_options()).unwrap();
    let config = worker.context().copied_config();
    assert_eq!(config.options().execution.time_zone.as_deref(), Some("+05:00"));
    assert_eq!(config.batch_size(), 100);
    prepared("RESET datafusion.execution.batch_size").await.unwrap();
    assert_eq!(session.current_options().settings.len(), 1);

    // q03: with these, a lone partition would wait for its siblings for ever.
    for setting in ["enable_dynamic_filter_pushdown", "enable_join_dynamic_filter_pushdown"] {
        let error = prepared(&format!("SET datafusion.optimizer.{setting} = true"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("datafusion.execution.time_zone"), "{error}");
    }
}

#[tokio::test]
async fn statements_that_would_do_nothing_or_run_elsewhere_are_refused() {
    let session = Session::new(support::options()).unwrap();
    for (sql, what) in [
        ("PREPARE p AS SELECT 1", "prepared statements"),
        ("CREATE TABLE t AS SELECT 1", "CREATE VIEW"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/tmp/x.csv'", "--data"),
    ] {
        let statement = session.parse(sql).unwrap().remove(0);
        let error = session.prepare(statement).await.unwrap_err().to_string();
        assert!(error.contains(what), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_csv_file_with_line_breaks_in_quotes_is_not_cut_there() {
    let folder = tempfile::tempdir().unwrap();
    let rows = 60_000;
    let mut text = String::from("id,note\n");
    for id in 0..rows {
        // The second line looks like a row of its own.
        text.push_str(&format!("{id},\"first line of {id}\n999,second \"\"line\"\"\"\n"));
    }
    fs::write(folder.path().join("notes.csv"), text).unwrap();
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder.path()).await.unwrap();
    let graph = session
        .plan("SELECT count(*), max(id), count(DISTINCT note) FROM notes")
        .await
        .unwrap();
    let found = kappa_query::reference::run(&graph, &session).await.unwrap();
    assert_eq!(support::rows(&found), [format!("<{rows}> <{}> <{rows}>", rows - 1)]);
}

#[tokio::test]
async fn data_in_a_folder_of_a_tables_folder_is_not_passed_over() {
    let folder = data::tables();
    let inner = folder.path().join("facts/year=2020");
    fs::create_dir(&inner).unwrap();
    register(folder.path()).await.unwrap();
    fs::write(inner.join("more.csv"), "a\n1\n").unwrap();
    let message = refusal(folder.path(), "facts").await;
    assert!(message.contains("year=2020") && message.contains("--data"), "{message}");
}
