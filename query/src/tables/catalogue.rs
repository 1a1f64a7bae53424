//! The tables of a session: found at the start, looked into when they are named, and again when a file of theirs has changed, come
//! or gone since.
//!
//! A file that cannot be read is nobody's business but that of who asks for its table.

use super::find::{Candidate, Kind, Source};
use super::parquet;
use super::place::Place;
use super::text::TextTable;
use crate::error::{QueryError, innermost_message};
use crate::planner::RowCounts;
use async_trait::async_trait;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::future::try_join_all;
use object_store::{ObjectMeta, ObjectStore};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

/// The schema that all names are looked up in.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// What statements have made: views.
    made: MemorySchemaProvider,
    found: RwLock<BTreeMap<String, Arc<Found>>>,
    rows: RowCounts,
    /// The session that this is a part of.
    session: RwLock<Weak<RwLock<SessionState>>>,
}

/// A table that was found, and what it is once somebody has asked.
#[derive(Debug)]
struct Found {
    place: Arc<Place>,
    origin: PathBuf,
    source: Result<Source, String>,
    /// What it was when it was last named.
    loaded: Mutex<Option<Loaded>>,
}

/// A table, and the files that it was made of.
#[derive(Debug)]
struct Loaded {
    files: Vec<ObjectMeta>,
    table: Arc<dyn TableProvider>,
}

impl Catalogue {
    pub(crate) fn new(rows: RowCounts) -> Catalogue {
        Catalogue {
            rows,
            ..Catalogue::default()
        }
    }

    /// Tells it its session. (A session holds its catalogue, so this reference does not hold it.)
    pub(crate) fn belongs_to(&self, session: Weak<RwLock<SessionState>>) {
        *self.session.write() = session;
    }

    /// Adds tables. A name that is taken belongs to neither.
    pub(super) fn add(&self, place: &Arc<Place>, tables: BTreeMap<String, Candidate>) {
        let mut found = self.found.write();
        for (name, Candidate { origin, source }) in tables {
            let source = match found.get(&name) {
                None => source.map_err(|error| error.to_string()),
                Some(first) => Err(format!(
                    "{} and {} would both be the table {name:?}; rename one of them",
                    first.origin.display(),
                    origin.display()
                )),
            };
            let table = Found {
                place: place.clone(),
                origin,
                source,
                loaded: Mutex::new(None),
            };
            found.insert(name, Arc::new(table));
        }
    }

    async fn load(&self, name: &str, found: &Found) -> Result<Arc<dyn TableProvider>> {
        let refused = |problem: String| DataFusionError::External(Box::new(QueryError::Table(problem)));
        let source = found.source.as_ref().map_err(|problem| refused(problem.clone()))?;
        let session = self.session.read().upgrade();
        let state = session.map(|session| session.read().clone());
        let state = state.ok_or_else(|| refused(format!("the session of table {name:?} has ended")))?;
        let failed = |error| match error {
            QueryError::Sql(error) => refused(innermost_message(&error)),
            error => refused(error.to_string()),
        };
        let is_folder = source.is_folder(&found.origin);
        let again = found.place.again(&found.origin, is_folder).await.map_err(failed)?;
        let place = again.as_ref().unwrap_or(&found.place);
        let source = &source.again(place, &found.origin).map_err(failed)?;
        let mut loaded = found.loaded.lock().await;
        // What was listed just now need not be asked for again.
        let is_known = again.is_some() || loaded.is_none();
        let objects = objects(&state, place, source, is_known).await;
        let objects = objects.map_err(failed)?;
        let files = objects.2.clone();
        if let Some(known) = loaded.as_ref().filter(|known| known.files == files) {
            return Ok(known.table.clone());
        }
        let (table, rows) = load(&state, place, source, objects).await.map_err(failed)?;
        self.rows.set(name, rows);
        *loaded = Some(Loaded {
            files,
            table: table.clone(),
        });
        Ok(table)
    }
}

/// Files of one store.
type Objects = (ObjectStoreUrl, Arc<dyn ObjectStore>, Vec<ObjectMeta>);

async fn load(
    state: &SessionState,
    place: &Place,
    source: &Source,
    (url, store, files): Objects,
) -> crate::error::Result<(Arc<dyn TableProvider>, f64)> {
    match source.kind {
        Kind::Parquet => parquet::load(state, place, &store, source, &files).await,
        Kind::Csv => texts(TextTable::of_csv(url, store, files).await?),
        Kind::Json => texts(TextTable::of_json(url, store, files).await?),
    }
}

fn texts(table: TextTable) -> crate::error::Result<(Arc<dyn TableProvider>, f64)> {
    let rows = table.rows as f64;
    Ok((Arc::new(table), rows))
}

async fn objects(
    state: &SessionState,
    place: &Place,
    source: &Source,
    is_first: bool,
) -> crate::error::Result<Objects> {
    /// How many questions are put to a store at once.
    const AT_ONCE: usize = 16;
    let mut urls = Vec::with_capacity(source.files.len());
    for file in &source.files {
        urls.push(place.url(file)?);
    }
    // A source has files: it is made when the first one is found.
    let first = urls.first();
    let first = first.ok_or_else(|| QueryError::Table("a table has no files".to_owned()))?;
    let (url, store) = (first.object_store(), state.runtime_env().object_store(first)?);
    let mut objects = Vec::with_capacity(urls.len());
    let files: Vec<_> = source.files.iter().zip(&urls).collect();
    for some in files.chunks(AT_ONCE) {
        let asked = some.iter().map(|(file, url)| place.object(&store, url, file, is_first));
        objects.extend(try_join_all(asked).await?);
    }
    Ok((url, store, objects))
}

#[async_trait]
impl SchemaProvider for Catalogue {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.made.table_names();
        names.extend(self.found.read().keys().cloned());
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(made) = self.made.table(name).await? {
            return Ok(Some(made));
        }
        let found = self.found.read().get(name).cloned();
        let Some(found) = found else { return Ok(None) };
        Ok(Some(self.load(name, &found).await?))
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.found.read().contains_key(&name) {
            return Err(DataFusionError::Execution(format!(
                "there is a table {name:?} already; choose another name"
            )));
        }
        self.made.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.found.read().contains_key(name) {
            return Err(DataFusionError::Execution(format!(
                "{name:?} is read from files; only views can be dropped"
            )));
        }
        self.made.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.made.table_exist(name) || self.found.read().contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use crate::session::{Session, SessionOptions};
    use crate::tables::find::find_tables;
    use crate::tables::place::Place;
    use crate::tables::s3::Objects;
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use std::sync::Arc;

    async fn sum(session: &Session) -> String {
        let rows = session.context().sql("SELECT sum(x) AS s, count(*) AS n FROM t").await;
        let rows = match rows {
            Ok(rows) => rows.collect().await,
            Err(error) => Err(error),
        };
        match rows {
            Ok(rows) => pretty_format_batches(&rows).unwrap().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn objects_that_changed_came_or_went_are_seen_by_the_next_query() {
        let store = Arc::new(InMemory::new());
        let put = async |key: &str, text: &'static str| store.put(&Path::from(key), text.into()).await.unwrap();
        put("data/t/1.csv", "x\n1\n").await;
        let session = Session::new(SessionOptions::default()).unwrap();
        let url = url::Url::parse("s3://bucket").unwrap();
        session
            .context()
            .runtime_env()
            .register_object_store(&url, store.clone());
        let (objects, folder) = Objects::of_store(store.clone(), "bucket", "data").await.unwrap();
        let place = Arc::new(Place::S3(objects));
        let tables = find_tables(&place, &folder).unwrap();
        session.catalogue().add(&place, tables);
        assert!(sum(&session).await.contains("| 1 | 1 |"), "{}", sum(&session).await);
        put("data/t/1.csv", "x\n0.5\n").await;
        assert!(sum(&session).await.contains("| 0.5 | 1 |"), "{}", sum(&session).await);
        put("data/t/2.csv", "x\n1.5\n").await;
        assert!(sum(&session).await.contains("| 2.0 | 2 |"), "{}", sum(&session).await);
        store.delete(&Path::from("data/t/1.csv")).await.unwrap();
        assert!(sum(&session).await.contains("| 1.5 | 1 |"), "{}", sum(&session).await);
        put("data/t/3.csv.bz2", "?").await;
        assert!(sum(&session).await.contains("3.csv.bz2"), "{}", sum(&session).await);
        store.delete(&Path::from("data/t/3.csv.bz2")).await.unwrap();
        store.delete(&Path::from("data/t/2.csv")).await.unwrap();
        assert!(sum(&session).await.contains("any more"), "{}", sum(&session).await);
    }
}
