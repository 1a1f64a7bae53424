//! What can go wrong between SQL and a checked stage graph.

use std::path::PathBuf;

use datafusion::error::DataFusionError;

use crate::stage::StageId;

/// The result of planning.
pub type Result<T, E = QueryError> = std::result::Result<T, E>;

/// Why a query cannot be planned.
///
/// Every message says what was tried, what happened and, where that can be known, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The SQL is wrong, or names something that is not there, or reading table metadata failed.
    #[error("{}", innermost_message(.0))]
    Sql(#[source] Box<DataFusionError>),

    /// The query is valid but cannot be run in stages.
    #[error("{what} cannot be run in stages: {reason}")]
    Unsupported {
        /// The part of the query.
        what: String,
        /// Why not, and what to do instead.
        reason: String,
    },

    /// A folder or file of data cannot be used.
    #[error("{}: {problem}", path.display())]
    Data {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },

    /// A table that a statement names cannot be used; the text names the file.
    #[error("{0}")]
    Table(String),

    /// The planner made a stage that would give wrong answers; it is refused instead of run. Always a defect of Kappa.
    #[error("stage {stage} is not valid: {problem} (a defect of the planner: please report it with the query)")]
    InvalidStage {
        /// The stage.
        stage: StageId,
        /// Which rule it breaks.
        problem: String,
    },

    /// A plan cannot be written as bytes, or bytes do not hold a plan.
    #[error("{what}: {}", innermost_message(source))]
    Codec {
        /// What was being written or read.
        what: String,
        /// What happened.
        source: Box<DataFusionError>,
    },

    /// The store failed while the query was published or its result was read.
    #[error(transparent)]
    Store(#[from] kappa::store::StoreError),

    /// A stored object of the query is damaged, or was written by another version of the program.
    #[error("a stored object of the query cannot be read: {0}; was it written by another version of this program?")]
    Stored(#[from] postcard::Error),

    /// A stored object of the query is not what was put there.
    #[error(
        "the stored object {key} of the query is damaged: its bytes are not those that were put there. Something else than this program has \
         changed them, a disk perhaps; start the query again"
    )]
    Damaged {
        /// The object's key.
        key: String,
    },

    /// A run was begun by another version, whose stored rows and states mean something else to this one.
    #[error(
        "the run {run} was begun by {begun}, and this is {here}: go on with that version, or start the query again"
    )]
    OtherVersion {
        /// The run.
        run: kappa::ids::RunId,
        /// The version that began it.
        begun: String,
        /// This version.
        here: String,
    },

    /// What the query was to run on cannot be set up.
    #[error(transparent)]
    Setup(#[from] kappa::cli::OptionsError),

    /// The run did not give a result.
    #[error(transparent)]
    Run(Box<kappa::RunError>),
}

impl From<kappa::RunError> for QueryError {
    fn from(error: kappa::RunError) -> Self {
        Self::Run(Box::new(error))
    }
}

impl QueryError {
    /// An [`QueryError::Unsupported`].
    pub(crate) fn unsupported(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported {
            what: what.into(),
            reason: reason.into(),
        }
    }

    /// A [`QueryError::InvalidStage`].
    pub(crate) fn invalid(stage: StageId, problem: impl Into<String>) -> Self {
        Self::InvalidStage {
            stage,
            problem: problem.into(),
        }
    }

    /// A [`QueryError::Codec`].
    pub(crate) fn codec(what: impl Into<String>, source: DataFusionError) -> Self {
        Self::Codec {
            what: what.into(),
            source: Box::new(source),
        }
    }

    /// A [`QueryError::Data`].
    pub(crate) fn data(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Data {
            path: path.into(),
            problem: problem.into(),
        }
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        Self::Sql(Box::new(error))
    }
}

/// The message of the innermost error, without the back-trace and the layers that led to it: what a reader can do something about.
pub fn innermost_message(error: &DataFusionError) -> String {
    match error.find_root() {
        // What this crate says needs no word about where it comes from.
        DataFusionError::External(error) if error.is::<QueryError>() => error.to_string(),
        // `Execution error: ` says nothing of what happened.
        DataFusionError::Execution(message) => message.clone(),
        root => root.strip_backtrace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::error::ArrowError;
    use std::io;
    use std::sync::Arc;

    /// What a run makes of a task that returns this.
    fn needs_repair(error: impl Into<kappa::Error>) -> Option<String> {
        kappa::error::Failed::from(error.into()).needs_repair
    }

    #[test]
    fn a_disk_that_is_full_while_rows_are_spilled_fails_no_query_whatever_library_says_so() {
        let full = || io::Error::from_raw_os_error(28);
        let arrow = || ArrowError::IoError("cannot spill".to_owned(), full());
        let errors = [
            DataFusionError::IoError(full()),
            DataFusionError::ArrowError(Box::new(arrow()), None),
            DataFusionError::External(Box::new(full())),
            DataFusionError::External(Box::new(arrow())),
            DataFusionError::IoError(full()).context("while sorting"),
            DataFusionError::Shared(Arc::new(DataFusionError::IoError(full()))),
        ];
        for error in errors {
            let shown = format!("{error:?}");
            let said = needs_repair(QueryError::from(error));
            assert!(said.is_some_and(|said| said.contains("No space left")), "{shown}");
        }
        assert!(needs_repair(DataFusionError::IoError(full())).is_some());
        assert_eq!(
            needs_repair(DataFusionError::IoError(io::ErrorKind::NotFound.into())),
            None
        );
        assert_eq!(needs_repair(QueryError::unsupported("x", "y")), None);
    }
}
