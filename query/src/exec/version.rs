//! A run goes on with the version of the program that began it.
//!
//! Rows that one version has dealt out by their hash, and states of aggregates that it has stored, mean something else to another version,
//! of this program or of DataFusion: the answer would be wrong without a word. So a run's objects begin with the versions that began it.
//! (TRAPS q25.)

use crate::error::QueryError;
use crate::shuffle::sealed::{get_sealed, sealed};
use kappa::ids::RunId;
use kappa::store::{Store, StoreError};
use serde::{Deserialize, Serialize};

/// What the stored objects of a run depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versions {
    program: String,
    datafusion: String,
}

impl Versions {
    /// Those of this program.
    pub(crate) fn of_this_program() -> Versions {
        Versions {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            datafusion: datafusion::DATAFUSION_VERSION.to_owned(),
        }
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Versions { program, datafusion } = self;
        write!(f, "version {program} with DataFusion {datafusion}")
    }
}

fn key(prefix: &str) -> String {
    format!("{prefix}/version")
}

/// Writes down what version begins the run whose objects have this prefix.
pub(crate) async fn record(store: &dyn Store, prefix: &str) -> Result<(), QueryError> {
    let versions = postcard::to_stdvec(&Versions::of_this_program())?;
    Ok(store.put(&key(prefix), sealed(versions)).await?)
}

/// Refuses a run that another version has begun. A run without objects here is none of a query's, or there is none: that others say.
pub(crate) async fn check(store: &dyn Store, run: RunId) -> Result<(), QueryError> {
    let prefix = run.results();
    let begun = match store.get(&key(&prefix)).await {
        Ok(_) => {
            let bytes = get_sealed(store, &key(&prefix)).await?;
            postcard::from_bytes::<Versions>(&bytes)?.to_string()
        }
        // Written before anything was written of versions.
        Err(StoreError::NotFound { .. }) => match store.get(&format!("{prefix}/fragments/0")).await {
            Ok(_) => "an older version".to_owned(),
            Err(StoreError::NotFound { .. }) => return Ok(()),
            Err(cause) => return Err(cause.into()),
        },
        // It cannot be read now, or somebody has to mend it.
        Err(cause) => return Err(cause.into()),
    };
    let here = Versions::of_this_program().to_string();
    match begun == here {
        true => Ok(()),
        false => Err(QueryError::OtherVersion { run, begun, here }),
    }
}
