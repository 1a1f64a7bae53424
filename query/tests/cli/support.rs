//! A shop's data in the three formats, and the program run on it.

use datafusion::arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take that is not expected to take long. The machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of data, and a place for everything that the program leaves behind.
pub(crate) struct Shop {
    folder: TempDir,
    /// In the environment of the program and of every process that it starts.
    mark: String,
}

impl Shop {
    /// `orders` (Parquet), `cities` (CSV) and `events` (JSON), small enough to be checked by hand.
    pub(crate) fn new() -> Shop {
        let shop = Shop::empty();
        write_orders(&shop.data().join("orders.parquet"), 5);
        fs::write(
            shop.data().join("cities.csv"),
            "name,country\nOslo,Norway\n\"Paris, TX\",USA\n",
        )
        .unwrap();
        fs::write(
            shop.data().join("events.jsonl"),
            "{\"id\":1,\"what\":\"open\"}\n{\"id\":2,\"what\":null}\n",
        )
        .unwrap();
        shop
    }

    /// `orders` with so many rows that joining it with itself twice takes as long as anyone could wait.
    pub(crate) fn large() -> Shop {
        let shop = Shop::empty();
        write_orders(&shop.data().join("orders.parquet"), 20_000);
        shop
    }

    pub(crate) fn empty() -> Shop {
        let folder = tempfile::tempdir().unwrap();
        for name in ["data", "tmp", "state-home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mark = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        Shop { folder, mark }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The program, to be given its arguments. It runs in the shop's folder.
    pub(crate) fn program(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_kappa-sql"))
    }

    /// Another program, in the same folder and with the same environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("TMPDIR", self.path("tmp"))
            .env("XDG_STATE_HOME", self.path("state-home"))
            .env("KAPPA_SQL_TEST", &self.mark)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end, which must leave nothing behind.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.program().args(arguments).output().unwrap();
        self.assert_nothing_is_left();
        Ran::of(output)
    }

    /// Runs statements on the data.
    pub(crate) fn sql(&self, sql: &str, arguments: &[&str]) -> Ran {
        self.run(&[&["--data", "data", "-c", sql], arguments].concat())
    }

    /// Runs the program with this standard input.
    pub(crate) fn pipe(&self, input: &str, arguments: &[&str]) -> Ran {
        let mut child = self.start(self.program().args(arguments).stdin(Stdio::piped()));
        let mut stdin = child.stdin.take().unwrap();
        // A program that stops at an error does not read the rest.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let ran = Ran::of(child.wait_with_output().unwrap());
        self.assert_nothing_is_left();
        ran
    }

    pub(crate) fn start(&self, command: &mut Command) -> Child {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// No process and no temporary file of this shop's programs.
    pub(crate) fn assert_nothing_is_left(&self) {
        self.assert_no_process_is_left();
        let left: Vec<_> = fs::read_dir(self.path("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "temporary files are left: {left:?}");
    }

    /// A killed program cannot wait for its workers: they see that it is gone, and go.
    pub(crate) fn assert_no_process_is_left(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "processes are left: {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Living processes with this shop's mark in their environment.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mark = format!("KAPPA_SQL_TEST={}", self.mark);
        let is_marked = |folder: &Path| {
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        processes
            .filter(|folder| is_marked(folder))
            .map(|folder| folder.display().to_string())
            .collect()
    }
}

/// How a program has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It did what it should, and wrote this.
    #[track_caller]
    pub(crate) fn wrote(&self, expected: &str) -> &Ran {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.out, expected, "{}", self.err);
        self
    }

    /// It failed with a clear message that has all these parts, wrote no result, and showed nothing of its insides.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, parts: &[&str]) -> &Ran {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in:\n{}", self.err);
        }
        for inside in [
            "panicked",
            "DataFusionError",
            "ParserError",
            "QueryError",
            "Some(",
            "backtrace",
            "Backtrace",
            "{ ",
        ] {
            assert!(!self.err.contains(inside), "{inside:?} is in:\n{}", self.err);
        }
        self
    }
}

/// `id` counts from 1; every fifth `city` is NULL, the others are Oslo and Paris by turns; `price` is a decimal; `day` a date.
fn write_orders(path: &Path, rows: i64) {
    let cities = (1..=rows).map(|id| match id {
        id if id % 5 == 0 => None,
        id if id % 2 == 0 => Some("Paris, TX"),
        _ => Some("Oslo"),
    });
    let prices = (1..=rows).map(|id| (id != 2).then_some(i128::from(id) * 1_005 - 2_010));
    let prices = Decimal128Array::from_iter(prices)
        .with_precision_and_scale(12, 2)
        .unwrap();
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(1..=rows))),
        ("city", Arc::new(StringArray::from_iter(cities))),
        ("price", Arc::new(prices)),
        (
            "day",
            Arc::new(Date32Array::from_iter((1..=rows).map(|id| Some(19_000 + id as i32)))),
        ),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    // Several row groups, so that there is more than one unit to scan.
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(2_000))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
