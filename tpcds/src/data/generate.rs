//! Makes the tables: in parallel, in bounded memory, and so that no half of a table is ever taken for a whole.
//!
//! | module | its thought |
//! |---|---|
//! | [`workshop`] | where tables grow, and how a finished one gets to its place |
//! | [`parts`] | the files of the tables, and the threads that write them |
//!
//! Whoever kills the program, or fills the disk, finds the tables that were finished and none that looks finished and is
//! not. The next generation goes on from there.

mod parts;
mod workshop;

use super::folder::{FolderError, missing_tables};
use super::{Scale, TABLES, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parts::{Plan, ROWS_PER_PART};
use std::fs;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread;
use workshop::{Workshop, lock};

/// How to generate.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many threads; by default one per core.
    pub threads: NonZero<usize>,
    /// Replace tables that are there already, even those of another scale.
    pub overwrite: bool,
    /// Show a progress bar if stderr is a terminal.
    pub progress: bool,
    /// About how many rows a file gets (a million by default), unless that made more than 256 files.
    pub rows_per_part: u64,
}

impl Default for Options {
    fn default() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Options {
            threads,
            overwrite: false,
            progress: true,
            rows_per_part: ROWS_PER_PART,
        }
    }
}

/// What a generation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Tables that were made; the others were there already.
    pub tables: usize,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// Why data could not be generated. Nothing unfinished is left behind.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The output folder, or what is in it already, is of no use.
    #[error(transparent)]
    Folder(#[from] Box<FolderError>),
    /// A folder could not be made, moved or locked.
    #[error("cannot {action} {}: {cause}{}", path.display(), advice(cause))]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {message}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What happened, and what to do.
        message: String,
    },
    /// The generator failed.
    #[error("cannot generate {table} at scale {scale}: {message}")]
    Source {
        /// The table.
        table: &'static str,
        /// The scale.
        scale: Scale,
        /// What happened.
        message: String,
    },
    /// Somebody pressed Ctrl-C.
    #[error("stopped before all tables were generated; start it again to go on")]
    Cancelled,
}

/// Writes the tables that `output` lacks (all, to overwrite). Stops soon after `cancelled` has become true.
pub fn generate(
    scale: Scale,
    output: &Path,
    options: &Options,
    cancelled: &AtomicBool,
) -> Result<Generated, GenerateError> {
    let existed = output.exists();
    fs::create_dir_all(output).map_err(file_error("create the folder", output))?;
    let result = generate_into(scale, output, options, cancelled);
    if result.is_err() && !existed {
        // Removes the folder only if it is empty, that is, if there is nothing to go on from.
        let _ = fs::remove_dir(output);
    }
    result
}

fn generate_into(
    scale: Scale,
    output: &Path,
    options: &Options,
    cancelled: &AtomicBool,
) -> Result<Generated, GenerateError> {
    let _lock = lock(output, cancelled)?;
    let tables: Vec<&Table> = match options.overwrite {
        true => TABLES.iter().collect(),
        false => missing_tables(output, scale).map_err(Box::new)?,
    };
    if tables.is_empty() {
        return Ok(Generated {
            tables: 0,
            rows: 0,
            bytes: 0,
        });
    }
    let workshop = Workshop::open(output)?;
    let plan = Plan::new(scale, &tables, options.rows_per_part, &workshop)?;
    let progress = progress_bar(scale, &tables, options.progress);
    let outcome = plan.execute(options.threads, cancelled, &progress);
    progress.finish_and_clear();
    outcome
}

fn progress_bar(scale: Scale, tables: &[&Table], show: bool) -> ProgressBar {
    let target = if show {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let rows = tables.iter().map(|table| table.estimated_rows(scale)).sum();
    let bar = ProgressBar::with_draw_target(Some(rows), target);
    let template = "generating TPC-DS at scale {msg} [{wide_bar}] {percent:>3} %, {human_pos} rows, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.with_message(scale.to_string())
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GenerateError {
    let path = path.to_owned();
    move |cause| GenerateError::File { action, path, cause }
}

/// What to do about an error of the operating system, if anything.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space or choose another folder",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder that you may write to"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; choose another folder",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::DataFolder;
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicBool;

    static NEVER: AtomicBool = AtomicBool::new(false);

    fn tiny() -> Scale {
        Scale::new(0.01).unwrap()
    }

    fn quiet() -> Options {
        Options {
            progress: false,
            ..Options::default()
        }
    }

    fn entries(folder: &Path) -> BTreeSet<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn all_tables() -> BTreeSet<String> {
        TABLES.iter().map(|table| table.name.to_owned()).collect()
    }

    #[test]
    fn all_24_tables_are_written_and_a_second_time_nothing_is_left_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("a/b");
        let first = generate(
            tiny(),
            &output,
            &Options {
                rows_per_part: 50_000,
                ..quiet()
            },
            &NEVER,
        )
        .unwrap();
        assert_eq!(first.tables, 24);
        assert_eq!(entries(&output), all_tables());
        assert!(entries(&output.join("store_sales")).len() > 1);
        let data = DataFolder::open(&output, tiny()).unwrap();
        let before = data.fingerprint().unwrap();

        let second = generate(tiny(), &output, &quiet(), &NEVER).unwrap();
        assert_eq!(
            second,
            Generated {
                tables: 0,
                rows: 0,
                bytes: 0
            }
        );
        assert_eq!(data.fingerprint().unwrap(), before);

        fs::remove_dir_all(output.join("item")).unwrap();
        let message = DataFolder::open(&output, tiny()).unwrap_err().to_string();
        assert!(
            message.contains("lacks item;") && message.contains("generate --scale 0.01"),
            "{message}"
        );
        assert_eq!(generate(tiny(), &output, &quiet(), &NEVER).unwrap().tables, 1);
        assert_eq!(entries(&output), all_tables());

        let other = DataFolder::open(&output, Scale::ONE).unwrap_err().to_string();
        assert!(other.contains("was made for scale 0.01, not 1"), "{other}");
        assert!(
            generate(Scale::ONE, &output, &quiet(), &NEVER)
                .unwrap_err()
                .to_string()
                .contains("was made for scale 0.01")
        );
    }

    #[test]
    fn a_damaged_file_is_named_and_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        generate(tiny(), folder.path(), &quiet(), &NEVER).unwrap();
        let file = folder.path().join("store/part-0001.parquet");
        fs::write(&file, b"PAR1 but not really").unwrap();
        let message = DataFolder::open(folder.path(), tiny()).unwrap_err().to_string();
        assert!(
            message.starts_with(&file.display().to_string()) && message.contains("not a readable Parquet file"),
            "{message}"
        );
        generate(
            tiny(),
            folder.path(),
            &Options {
                overwrite: true,
                ..quiet()
            },
            &NEVER,
        )
        .unwrap();
        assert_eq!(entries(folder.path()), all_tables());
        DataFolder::open(folder.path(), tiny()).unwrap();
    }

    #[test]
    fn a_cancelled_generation_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("data");
        let error = generate(tiny(), &output, &quiet(), &AtomicBool::new(true)).unwrap_err();
        assert!(matches!(error, GenerateError::Cancelled), "{error}");
        assert!(!output.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_one_clear_message() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        for output in [file.clone(), file.join("below")] {
            let message = generate(tiny(), &output, &quiet(), &NEVER).unwrap_err().to_string();
            assert!(
                message.contains("cannot create the folder") && message.contains("choose another folder"),
                "{message}"
            );
        }
    }
}
