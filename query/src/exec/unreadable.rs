//! Which file cannot be read: the readers of formats say what is wrong with a file, but not with which.

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::collections::BTreeSet;

/// How many files a message names at most.
const NAMED: usize = 3;

/// The error with the files that the unit reads, if it is one of reading files.
pub(crate) fn with_files(error: DataFusionError, plan: &dyn ExecutionPlan, unit: usize) -> DataFusionError {
    let root = error.find_root();
    if !is_of_reading(root) {
        return error;
    }
    let mut files = BTreeSet::new();
    add_files(plan, Some(unit), &mut files);
    let named: Vec<&str> = files.iter().take(NAMED).map(String::as_str).collect();
    let place = match (named.as_slice(), files.len().saturating_sub(NAMED)) {
        ([], _) => return error,
        ([file], _) => (*file).to_owned(),
        (files, 0) => format!("one of {}", files.join(", ")),
        (files, more) => format!("one of {} and {more} more", files.join(", ")),
    };
    DataFusionError::Execution(format!(
        "{place} cannot be read: {}; repair or remove it",
        root.strip_backtrace()
    ))
}

fn is_of_reading(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) => true,
        DataFusionError::ArrowError(error, _) => {
            matches!(
                **error,
                ArrowError::ParquetError(_) | ArrowError::CsvError(_) | ArrowError::JsonError(_)
            )
        }
        DataFusionError::External(error) => error.is::<ParquetError>(),
        _ => false,
    }
}

/// The files below a node that are read for a partition of it, or for any if that is not known.
fn add_files(plan: &dyn ExecutionPlan, partition: Option<usize>, files: &mut BTreeSet<String>) {
    let scan = plan.downcast_ref::<DataSourceExec>();
    if let Some(config) = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>()) {
        let groups = config.file_groups.iter().enumerate();
        let read = groups.filter(|(group, _)| partition.is_none_or(|partition| partition == *group));
        let read = read.flat_map(|(_, group)| group.iter());
        files.extend(read.map(|file| format!("/{}", file.object_meta.location)));
    }
    let is_union = plan.is::<UnionExec>();
    let mut first = 0;
    for child in plan.children() {
        let count = child.output_partitioning().partition_count();
        if is_union {
            // The partitions of a union are those of its children, one child after another.
            match partition {
                Some(partition) if (first..first + count).contains(&partition) => {
                    add_files(child.as_ref(), Some(partition - first), files);
                }
                Some(_) => {}
                None => add_files(child.as_ref(), None, files),
            }
            first += count;
        } else {
            let is_aligned = count == plan.output_partitioning().partition_count();
            add_files(child.as_ref(), partition.filter(|_| is_aligned), files);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Session, SessionOptions};

    async fn blamed(sql: &str, unit: usize, error: DataFusionError) -> String {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::write(folder.path().join(format!("{name}.csv")), "x\n1\n").unwrap();
        }
        let session = Session::new(SessionOptions::default()).unwrap();
        session.register_folder(folder.path()).await.unwrap();
        let plan = session
            .context()
            .sql(sql)
            .await
            .unwrap()
            .create_physical_plan()
            .await
            .unwrap();
        with_files(error, plan.as_ref(), unit)
            .to_string()
            .replace(folder.path().to_str().unwrap(), "")
    }

    fn unreadable() -> DataFusionError {
        ArrowError::CsvError("too few fields".into()).into()
    }

    #[tokio::test]
    async fn the_file_of_the_unit_is_named() {
        let message = blamed("SELECT * FROM b", 0, unreadable()).await;
        assert!(
            message.contains("/b.csv cannot be read: ") && message.contains("too few fields"),
            "{message}"
        );
        assert!(!message.contains("a.csv"), "{message}");
    }

    #[tokio::test]
    async fn a_unit_of_a_union_reads_the_files_of_one_branch() {
        let union = "SELECT x FROM a UNION ALL SELECT x FROM b";
        for (unit, file, other) in [(0, "/a.csv", "/b.csv"), (1, "/b.csv", "/a.csv")] {
            let message = blamed(union, unit, unreadable()).await;
            assert!(message.contains(file) && !message.contains(other), "{unit}: {message}");
        }
    }

    #[tokio::test]
    async fn other_errors_stay_as_they_are() {
        let error = DataFusionError::Execution("no room".into());
        assert_eq!(blamed("SELECT * FROM a", 0, error).await, "Execution error: no room");
    }
}
