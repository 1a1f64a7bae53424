//! Runs that are interrupted, and what may change meanwhile: files, objects, versions, the patience of whoever waits.

use crate::support::{engine, shown, tables};
use bytes::Bytes;
use kappa::ids::RunId;
use kappa::runtime::Kappa;
use kappa_query::{Engine, Execution, QueryError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Numbers in two CSV files of equal size: 1 in each row of one, 2 in each row of the other.
fn numbers(digit: &str) -> String {
    format!("x\n{}", format!("{digit}\n").repeat(60_000))
}

async fn kappa(state: &Path) -> Kappa {
    Kappa::builder().state_dir(state.to_owned()).build().await.unwrap()
}

/// Starts a query with a state folder and stops it in the middle.
async fn interrupted(engine: &Engine, sql: &str) -> RunId {
    let statement = engine.parse(sql).unwrap().remove(0);
    let Execution::Running(query) = engine.start(statement).await.unwrap() else {
        panic!("a query runs")
    };
    query.interrupt().await;
    query.run_id()
}

async fn resumed(state: &Path, run: RunId) -> Result<String, QueryError> {
    let again = Engine::on(kappa(state).await, Default::default(), 2, true).unwrap();
    Ok(shown(&again.resume(run).await?.wait().await?))
}

/// TRAPS q24.
#[tokio::test(flavor = "multi_thread")]
async fn q24_a_run_does_not_go_on_with_other_files_than_it_was_planned_with() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("t.csv");
    std::fs::write(&file, numbers("1")).unwrap();
    let first = engine(kappa(state.path()).await, folder.path(), true).await;
    let run = interrupted(&first, "select sum(x) as s, count(*) as n from t").await;
    drop(first);

    // Another file of the same size and the same time of change takes its place.
    let time = std::fs::metadata(&file).unwrap().modified().unwrap();
    let other = folder.path().join("other");
    std::fs::write(&other, numbers("2")).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&other)
        .unwrap()
        .set_modified(time)
        .unwrap();
    std::fs::rename(&other, &file).unwrap();
    match resumed(state.path(), run).await {
        // It may have been done before it was interrupted.
        Ok(answer) => assert!(answer.contains("| 60000 | 60000 |"), "{answer}"),
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains("t.csv has changed since the query was planned"), "{said}");
            assert!(said.contains("start the query anew"), "{said}");
        }
    }
}

/// The same without luck: the file is replaced before a unit has read anything.
#[tokio::test(flavor = "multi_thread")]
async fn q24_a_file_that_changes_between_planning_and_reading_is_named() {
    for (name, contents, other) in [
        ("t.csv", numbers("1"), numbers("2")),
        ("t.json", "{\"x\": 1}\n".repeat(2000), "{\"x\": 2}\n".repeat(2000)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, contents).unwrap();
        let engine = engine(Kappa::builder().build().await.unwrap(), folder.path(), false).await;
        let graph = engine.session().plan("select sum(x), count(*) from t").await.unwrap();
        std::fs::write(&file, &other).unwrap();
        let said = engine
            .start_graph(&graph)
            .await
            .unwrap()
            .wait()
            .await
            .unwrap_err()
            .to_string();
        assert!(
            said.contains(&format!("{name} has changed since the query was planned: it had")),
            "{said}"
        );
        // A new query is planned with the file as it is.
        let answer = shown(&engine.sql("select max(x) as m from t").await.unwrap());
        assert!(answer.contains("| 2 |"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q24_a_parquet_file_that_changes_between_planning_and_reading_is_named() {
    let folder = tables().await;
    let engine = engine(Kappa::builder().build().await.unwrap(), folder.path(), false).await;
    let sql = "select sum(amount) from orders";
    let graph = engine.session().plan(sql).await.unwrap();
    let files = folder.path().join("orders");
    std::fs::copy(files.join("part-1.parquet"), files.join("copy")).unwrap();
    std::fs::rename(files.join("copy"), files.join("part-1.parquet")).unwrap();
    let said = engine
        .start_graph(&graph)
        .await
        .unwrap()
        .wait()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("orders/part-1.parquet has changed since the query was planned"),
        "{said}"
    );
    engine.sql(sql).await.unwrap();
}

/// The file below a state folder whose key ends so.
fn stored(state: &Path, ending: &str) -> PathBuf {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, files),
                false => files.push(path),
            }
        }
    }
    let mut files = Vec::new();
    walk(&state.join("store"), &mut files);
    let ending = format!("{ending}=");
    let found = files.iter().find(|path| path.to_string_lossy().ends_with(&ending));
    found.unwrap_or_else(|| panic!("no {ending} in {files:?}")).clone()
}

/// TRAPS q25.
#[tokio::test(flavor = "multi_thread")]
async fn q25_a_run_of_another_version_is_refused_and_stays_as_it_is() {
    let (folder, state) = (tables().await, tempfile::tempdir().unwrap());
    let first = engine(kappa(state.path()).await, folder.path(), true).await;
    let sql = "select kind, count(*) as n from orders group by kind order by kind";
    let run = interrupted(&first, sql).await;
    drop(first);
    // As a program of another version would have written it.
    let version = async |bytes: Option<Bytes>| {
        let kappa = kappa(state.path()).await;
        let key = format!("{}/version", run.results());
        let before = kappa.store().get(&key).await.ok();
        kappa.store().delete(&key).await.unwrap();
        if let Some(bytes) = bytes {
            kappa.store().put(&key, bytes).await.unwrap();
        }
        before
    };

    #[derive(serde::Serialize)]
    struct Versions {
        program: &'static str,
        datafusion: &'static str,
    }
    let other = Versions {
        program: env!("CARGO_PKG_VERSION"),
        datafusion: "54.0.0",
    };
    let other = kappa_query::shuffle::sealed::sealed(postcard::to_stdvec(&other).unwrap());
    let ours = version(Some(other)).await.unwrap();
    let said = resumed(state.path(), run).await.unwrap_err().to_string();
    assert!(
        said.contains("with DataFusion 54.0.0") && said.contains("go on with that version"),
        "{said}"
    );

    version(None).await;
    let said = resumed(state.path(), run).await.unwrap_err().to_string();
    assert!(said.contains("was begun by an older version"), "{said}");

    version(Some(ours)).await;
    assert!(resumed(state.path(), run).await.unwrap().contains("| 12   |"));
}

/// Whether it says that a disk has changed something: the store sees that, or whoever reads the object.
fn is_of_damage(said: &str) -> bool {
    said.contains("is not what was written there") || said.contains("is damaged")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_plan_or_manifest_is_an_error_that_says_so() {
    let (folder, state) = (tables().await, tempfile::tempdir().unwrap());
    let first = engine(kappa(state.path()).await, folder.path(), true).await;
    let statement = first
        .parse("select count(*) as n from orders where id > 5")
        .unwrap()
        .remove(0);
    let Execution::Running(query) = first.start(statement).await.unwrap() else {
        panic!("a query runs")
    };
    let run = query.run_id();
    query.wait().await.unwrap();
    drop((query, first));
    assert!(resumed(state.path(), run).await.unwrap().contains("19995"));
    for ending in ["fragments/1", "version"] {
        let file = stored(state.path(), ending);
        let bytes = std::fs::read(&file).unwrap();
        for place in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            std::fs::write(&file, damaged).unwrap();
            let said = resumed(state.path(), run).await.unwrap_err().to_string();
            assert!(
                said.contains(ending) && is_of_damage(&said),
                "{ending}, byte {place}: {said}"
            );
        }
        std::fs::write(&file, bytes).unwrap();
    }
    // The result's manifest has a name of its own.
    let manifest = |state: &Path| {
        let stages = stored(state, "fragments/1")
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .join("stages/1");
        let found = std::fs::read_dir(stages).unwrap().map(|entry| entry.unwrap().path());
        found
            .into_iter()
            .find(|path| path.to_string_lossy().contains("manifest"))
            .unwrap()
    };
    let file = manifest(state.path());
    let mut bytes = std::fs::read(&file).unwrap();
    for place in (0..bytes.len()).step_by(23) {
        bytes[place] ^= 0x55;
        std::fs::write(&file, &bytes).unwrap();
        let said = resumed(state.path(), run).await.unwrap_err().to_string();
        assert!(is_of_damage(&said), "byte {place}: {said}");
        bytes[place] ^= 0x55;
        std::fs::write(&file, &bytes[..place]).unwrap();
        let said = resumed(state.path(), run).await.unwrap_err().to_string();
        assert!(is_of_damage(&said), "cut off at {place}: {said}");
    }
}

/// On one thread: whoever waits for planning goes on doing so.
#[tokio::test]
async fn whoever_waits_for_planning_can_give_up() {
    let folder = tables().await;
    let engine = engine(Kappa::builder().build().await.unwrap(), folder.path(), false).await;
    let joins: String = (1..150)
        .map(|n| {
            format!(
                " join (select id + {n} as id from customers) c{n} on c{n}.id = c{}.id",
                n - 1
            )
        })
        .collect();
    let sql = format!("select count(*) from customers c0{joins}");
    let statement = || engine.parse(&sql).unwrap().remove(0);
    let started = Instant::now();
    let given_up = tokio::time::timeout(Duration::from_millis(20), engine.start(statement())).await;
    let waited = started.elapsed();
    assert!(given_up.is_err(), "planning has to take longer than that");
    assert!(waited < Duration::from_millis(1500), "{waited:?}");
}
