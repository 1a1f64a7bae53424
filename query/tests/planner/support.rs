//! Runs a query on plain DataFusion and as stages, and compares.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use kappa_query::planner::Prepared;
use kappa_query::reference;
use kappa_query::session::{Session, SessionOptions};
use kappa_query::stage::{Exchange, StageGraph};

use crate::data;

/// Settings that make DataFusion choose other plans for the same query.
pub(crate) const WAYS: [(&str, &[&str]); 4] = [
    ("as it comes", &[]),
    (
        "joins partitioned",
        &[
            "SET datafusion.optimizer.hash_join_single_partition_threshold = 0",
            "SET datafusion.optimizer.hash_join_single_partition_threshold_rows = 0",
        ],
    ),
    (
        "joins by collecting a side",
        &[
            "SET datafusion.optimizer.hash_join_single_partition_threshold = 1000000000",
            "SET datafusion.optimizer.hash_join_single_partition_threshold_rows = 1000000000",
        ],
    ),
    (
        "joins by sorting",
        &[
            "SET datafusion.optimizer.prefer_hash_join = false",
            "SET datafusion.optimizer.hash_join_single_partition_threshold = 0",
            "SET datafusion.optimizer.hash_join_single_partition_threshold_rows = 0",
        ],
    ),
];

/// Tables, a plain DataFusion session, and one session for each of [`WAYS`].
pub(crate) struct Bench {
    _tables: tempfile::TempDir,
    plain: SessionContext,
    sessions: Vec<(&'static str, Session)>,
}

impl Bench {
    pub(crate) async fn new() -> Bench {
        let tables = data::tables();
        let mut sessions: Vec<(&'static str, Session)> = Vec::new();
        let mut names = Vec::new();
        for (way, settings) in WAYS {
            let (session, tables) = session(&tables, settings).await;
            sessions.push((way, session));
            names = tables;
        }
        // The same tables, by DataFusion's own settings in everything that is not about files.
        let plain = SessionContext::new();
        for table in names {
            let provider = sessions[0].1.context().table_provider(table.as_str()).await.unwrap();
            plain.register_table(table.as_str(), provider).unwrap();
        }
        Bench {
            _tables: tables,
            plain,
            sessions,
        }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.sessions[0].1
    }

    /// As stages, in every way, the query gives what plain DataFusion gives, as multisets.
    pub(crate) async fn same(&self, sql: &str) {
        let expected = sorted(self.plain(sql).await);
        for (way, session) in &self.sessions {
            let (graph, rows) = staged(session, sql).await;
            assert_rows(
                &expected,
                &sorted(rows),
                &format!("{way}: {sql}\n{}", kappa_query::explain::explain(&graph)),
            );
        }
    }

    /// As [`Bench::same`], in the same order too: for queries whose order is total.
    pub(crate) async fn same_in_order(&self, sql: &str) {
        let expected = self.plain(sql).await;
        for (way, session) in &self.sessions {
            let (graph, rows) = staged(session, sql).await;
            assert_rows(
                &expected,
                &rows,
                &format!("{way}: {sql}\n{}", kappa_query::explain::explain(&graph)),
            );
        }
    }

    /// As stages, in every way, the query fails with a message that holds `part`.
    pub(crate) async fn fails(&self, sql: &str, part: &str) {
        for (way, session) in &self.sessions {
            let graph = session.plan(sql).await.unwrap();
            let error = reference::run(&graph, session).await.unwrap_err().to_string();
            assert!(error.contains(part), "{way}: {sql}: {error}");
        }
    }

    /// The rows, and the graphs they came from, in every way.
    pub(crate) async fn staged(&self, sql: &str) -> Vec<(StageGraph, Vec<String>)> {
        let mut all = Vec::new();
        for (_, session) in &self.sessions {
            all.push(staged(session, sql).await);
        }
        all
    }

    pub(crate) async fn plain(&self, sql: &str) -> Vec<String> {
        rows(&self.plain.sql(sql).await.unwrap().collect().await.unwrap())
    }
}

/// Four hash partitions and tiny scan units.
pub(crate) fn options() -> SessionOptions {
    SessionOptions {
        partitions: 4,
        scan_unit_bytes: 4 << 10,
        ..SessionOptions::default()
    }
}

/// A session with the tables of a folder and one of [`WAYS`], and the tables' names.
pub(crate) async fn session(tables: &tempfile::TempDir, settings: &[&str]) -> (Session, Vec<String>) {
    let session = Session::new(options()).unwrap();
    let names = session.register_folder(tables.path()).await.unwrap();
    for setting in settings {
        for statement in session.parse(setting).unwrap() {
            assert!(matches!(session.prepare(statement).await.unwrap(), Prepared::Done));
        }
    }
    (session, names)
}

async fn staged(session: &Session, sql: &str) -> (StageGraph, Vec<String>) {
    let graph = session.plan(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let batches = reference::run(&graph, session).await;
    let batches = batches.unwrap_or_else(|e| panic!("{sql}: {e}\n{}", kappa_query::explain::explain(&graph)));
    (graph, rows(&batches))
}

/// One string for each row; NULL is told from the empty string.
pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let format = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &format).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns
                .iter()
                .map(|column| format!("<{}>", column.value(row)))
                .collect();
            rows.push(values.join(" "));
        }
    }
    rows
}

pub(crate) fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

fn assert_rows(expected: &[String], found: &[String], context: &str) {
    if expected == found {
        return;
    }
    let differs = expected
        .iter()
        .zip(found)
        .position(|(a, b)| a != b)
        .unwrap_or(expected.len().min(found.len()));
    panic!(
        "{} rows expected, {} found; first difference at {differs}: {:?} expected, {:?} found\n{context}",
        expected.len(),
        found.len(),
        expected.get(differs),
        found.get(differs)
    );
}

/// How many stages have an exchange of this kind.
pub(crate) fn exchanges(graph: &StageGraph, is_kind: impl Fn(&Exchange) -> bool) -> usize {
    graph.stages.iter().filter(|stage| is_kind(&stage.output)).count()
}
