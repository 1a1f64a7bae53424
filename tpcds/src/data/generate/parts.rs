//! The files of the tables, and the threads that write them.
//!
//! Tables are cut into parts of about a million rows, one file each, which the threads take largest table first. A thread
//! holds one batch of rows and the compressed pages of one row group: some 50 MB in the widest table.

use super::workshop::Workshop;
use super::{GenerateError, Generated, advice, file_error};
use crate::data::folder::SCALE_KEY;
use crate::data::{Scale, Table};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::WriterProperties;
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io;
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A row group is what one scan unit of the engine reads at least.
const ROWS_PER_ROW_GROUP: usize = 128 * 1024;
pub(super) const ROWS_PER_PART: u64 = 8 * ROWS_PER_ROW_GROUP as u64;
/// At large scales parts grow rather than become more.
const MOST_PARTS: u64 = 256;

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
pub(super) struct Plan<'a> {
    scale: Scale,
    rows_per_part: u64,
    workshop: &'a Workshop<'a>,
    tables: Vec<PlannedTable>,
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
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

    pub(super) fn execute(
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
        // Those that the system does not give are missed only if there are none at all.
        let results: Vec<_> = thread::scope(|scope| {
            let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
            let threads: Vec<_> = (0..workers).filter_map(start).collect();
            if threads.is_empty() {
                return vec![Ok(work())];
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TABLES;

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        // /dev/full accepts an open and refuses every write with "no space left on device".
        let path = Path::new("/dev/full");
        let Ok(file) = File::options().write(true).open(path) else {
            return;
        };
        let reader = TABLES[0].read(Scale::new(0.01).unwrap(), 1..=1).unwrap();
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
