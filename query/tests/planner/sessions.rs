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
    let message = register(folder.path()).await.unwrap_err();
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
    let message = register(folder.path()).await.unwrap_err();
    assert!(
        message.contains("part-3.parquet") && message.contains("Parquet"),
        "{message}"
    );

    fs::remove_file(&corrupt).unwrap();
    fs::write(folder.path().join("facts/other.csv"), "a\n1\n").unwrap();
    let message = register(folder.path()).await.unwrap_err();
    assert!(message.contains("facts") && message.contains("CSV"), "{message}");

    fs::remove_file(folder.path().join("facts/other.csv")).unwrap();
    fs::write(folder.path().join("lines.csv"), "").unwrap();
    let message = register(folder.path()).await.unwrap_err();
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
