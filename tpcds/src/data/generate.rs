//! Makes the tables: in parallel, in bounded memory, and so that no half of a table is ever taken for a whole.
//!
//! Tables are cut into parts of about a million rows, one file each, which the threads take largest table first. A table grows in the hidden
//! folder `.generating` and is moved to its place when all of its parts are on disk: whoever kills the program, or fills the disk, finds the
//! tables that were finished and none that looks finished and is not. The next generation goes on from there. The folder itself is locked
//! meanwhile (by the operating system, so no lock outlives its process): a second generation waits, then finds the work done.
//!
//! A thread holds one batch of rows and the compressed pages of one row group: some 50 MB in the widest table.

use super::folder::{FolderError, SCALE_KEY, missing_tables};
use super::{Scale, TABLES, Table};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::WriterProperties;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::{self, File, TryLockError};
use std::io;
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A row group is what one scan unit of the engine reads at least.
const ROWS_PER_ROW_GROUP: usize = 128 * 1024;
const ROWS_PER_PART: u64 = 8 * ROWS_PER_ROW_GROUP as u64;
/// At large scales parts grow rather than become more.
const MOST_PARTS: u64 = 256;
/// Where tables grow, inside the output folder. Hidden, so that nothing takes it for a table.
const WORKSHOP: &str = ".generating";

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

/// Locks the folder against other generations until the file is dropped.
fn lock(output: &Path, cancelled: &AtomicBool) -> Result<File, GenerateError> {
    let folder = File::open(output).map_err(file_error("open the folder", output))?;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) if cancelled.load(Ordering::Relaxed) => return Err(GenerateError::Cancelled),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(50)),
            // Some network file systems cannot lock; two generations at once then waste work, but do no harm to finished tables.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(folder),
            Err(TryLockError::Error(error)) => return Err(file_error("lock the folder", output)(error)),
        }
    }
}

/// The hidden folder where tables grow; gone when dropped.
struct Workshop<'a> {
    output: &'a Path,
    path: PathBuf,
}

impl<'a> Workshop<'a> {
    fn open(output: &'a Path) -> Result<Self, GenerateError> {
        let path = output.join(WORKSHOP);
        // What is there was left by a generation that was killed: we hold the lock.
        remove_all(&path)?;
        fs::create_dir(&path).map_err(file_error("create the folder", &path))?;
        Ok(Workshop { output, path })
    }

    fn folder_of(&self, table: &Table) -> PathBuf {
        self.path.join(table.name)
    }

    /// Moves a finished table to its place, and what was there before out of the way.
    fn install(&self, table: &Table) -> Result<(), GenerateError> {
        let place = self.output.join(table.name);
        remove_all(&self.output.join(format!("{}.parquet", table.name)))?;
        if place.exists() {
            let old = self.path.join(format!("{}.old", table.name));
            fs::rename(&place, &old).map_err(file_error("replace the folder", &place))?;
        }
        fs::rename(self.folder_of(table), &place).map_err(file_error("create the folder", &place))
    }
}

impl Drop for Workshop<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// One file to be written.
struct Part<'a> {
    table: &'a PlannedTable,
    number: usize,
    source_rows: RangeInclusive<u64>,
}

struct PlannedTable {
    table: &'static Table,
    unfinished_parts: AtomicUsize,
}

/// All files to be written, and what has become of them.
struct Plan<'a> {
    scale: Scale,
    rows_per_part: u64,
    workshop: &'a Workshop<'a>,
    tables: Vec<PlannedTable>,
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Plan<'a> {
    fn new(
        scale: Scale,
        tables: &[&'static Table],
        rows_per_part: u64,
        workshop: &'a Workshop<'a>,
    ) -> Result<Self, GenerateError> {
        let mut tables = tables.to_vec();
        tables.sort_by_key(|table| table.estimated_rows(scale));
        for table in &tables {
            let folder = workshop.folder_of(table);
            fs::create_dir(&folder).map_err(file_error("create the folder", &folder))?;
        }
        let tables = tables
            .into_iter()
            .map(|table| PlannedTable {
                table,
                unfinished_parts: AtomicUsize::new(0),
            })
            .collect();
        Ok(Plan {
            scale,
            rows_per_part,
            workshop,
            tables,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    fn execute(
        &self,
        threads: NonZero<usize>,
        cancelled: &AtomicBool,
        progress: &ProgressBar,
    ) -> Result<Generated, GenerateError> {
        // A stack: the largest tables, which were sorted to the end, are taken first.
        let mut parts = Vec::new();
        for table in &self.tables {
            let ranges = table.table.parts(self.scale, self.rows_per_part, MOST_PARTS);
            table.unfinished_parts.store(ranges.len(), Ordering::Relaxed);
            parts.extend(ranges.into_iter().enumerate().map(|(index, source_rows)| Part {
                table,
                number: index + 1,
                source_rows,
            }));
        }
        let workers = threads.get().min(parts.len());
        let parts = Mutex::new(parts);
        let failed = AtomicBool::new(false);
        let stop = || failed.load(Ordering::Relaxed) || cancelled.load(Ordering::Relaxed);
        let work = || -> Result<(), GenerateError> {
            while !stop() {
                let Some(part) = parts.lock().unwrap_or_else(PoisonError::into_inner).pop() else {
                    return Ok(());
                };
                self.write(&part, &stop, progress)
                    .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        };
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        if cancelled.load(Ordering::Relaxed) {
            return Err(GenerateError::Cancelled);
        }
        for result in results {
            result.unwrap_or_else(|panic| Err(self.panicked(panic.as_ref())))?;
        }
        let (rows, bytes) = (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        Ok(Generated {
            tables: self.tables.len(),
            rows,
            bytes,
        })
    }

    /// Writes one file, and moves its table to its place if it was the last one missing.
    fn write(&self, part: &Part<'_>, stop: &dyn Fn() -> bool, progress: &ProgressBar) -> Result<(), GenerateError> {
        let table = part.table.table;
        let path = self
            .workshop
            .folder_of(table)
            .join(format!("part-{:04}.parquet", part.number));
        let failed_to_generate = |error: ArrowError| GenerateError::Source {
            table: table.name,
            scale: self.scale,
            message: error.to_string(),
        };
        let failed_to_write = |error: ParquetError| write_error(&path, error);

        let reader = table
            .read(self.scale, part.source_rows.clone())
            .map_err(failed_to_generate)?;
        let file = File::create(&path).map_err(file_error("create the file", &path))?;
        let mut writer =
            ArrowWriter::try_new(file, reader.schema(), Some(properties(self.scale))).map_err(failed_to_write)?;
        let mut rows = 0;
        for batch in reader {
            if stop() {
                return Ok(());
            }
            let batch = batch.map_err(failed_to_generate)?;
            writer.write(&batch).map_err(failed_to_write)?;
            rows += batch.num_rows() as u64;
            progress.inc(batch.num_rows() as u64);
        }
        let file = writer.into_inner().map_err(failed_to_write)?;
        // A full disk may come to light only here, and a power cut must not leave a table of empty files.
        file.sync_all().map_err(file_error("write", &path))?;
        let bytes = file.metadata().map_err(file_error("read", &path))?.len();
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if part.table.unfinished_parts.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.workshop.install(table)?;
        }
        Ok(())
    }

    fn panicked(&self, panic: &(dyn std::any::Any + Send)) -> GenerateError {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        let message = format!("the generator panicked: {}", text.unwrap_or("without a message"));
        GenerateError::Source {
            table: "a table",
            scale: self.scale,
            message,
        }
    }
}

fn properties(scale: Scale) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_PER_ROW_GROUP))
        .set_key_value_metadata(Some(vec![KeyValue::new(SCALE_KEY.to_owned(), scale.to_string())]))
        .build()
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

fn remove_all(path: &Path) -> Result<(), GenerateError> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error("remove", path)(error)),
        _ => Ok(()),
    }
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GenerateError {
    let path = path.to_owned();
    move |cause| GenerateError::File { action, path, cause }
}

fn write_error(path: &Path, error: ParquetError) -> GenerateError {
    let message = match &error {
        ParquetError::External(source) => match source.downcast_ref::<io::Error>() {
            Some(error) => format!("{error}{}", advice(error)),
            None => source.to_string(),
        },
        other => other.to_string(),
    };
    GenerateError::Write {
        path: path.to_owned(),
        message,
    }
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
    fn what_a_killed_generation_left_is_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let half = folder.path().join(WORKSHOP).join("store_sales");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("part-0001.parquet"), b"half").unwrap();
        assert_eq!(missing_tables(folder.path(), tiny()).unwrap().len(), 24);
        generate(tiny(), folder.path(), &quiet(), &NEVER).unwrap();
        assert_eq!(entries(folder.path()), all_tables());
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

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        // /dev/full accepts an open and refuses every write with "no space left on device".
        let path = Path::new("/dev/full");
        let Ok(file) = File::options().write(true).open(path) else {
            return;
        };
        let reader = TABLES[0].read(tiny(), 1..=1).unwrap();
        let mut writer = ArrowWriter::try_new(file, reader.schema(), None).unwrap();
        for batch in reader {
            writer.write(&batch.unwrap()).unwrap();
        }
        let message = write_error(path, writer.into_inner().unwrap_err()).to_string();
        assert!(
            message.starts_with("cannot write /dev/full: No space left on device"),
            "{message}"
        );
        assert!(
            message.ends_with("free some space or choose another folder"),
            "{message}"
        );
    }
}
