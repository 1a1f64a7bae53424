//! Small tables with everything that goes wrong: several files, several row groups, NULL keys, ties, no rows.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;

/// The folder of all tables:
///
/// | table | rows | files | |
/// |---|---|---|---|
/// | `facts` | 2500 | 5 | `id` unique, `k` in 0..40 or NULL, `g` in 5 values or NULL, `v` decimal, `d` date |
/// | `more` | 900 | 3 | the same columns; half of its keys are not in `facts` |
/// | `dims` | 31 | 1 | `k` unique in 10..40, and one NULL; `name` |
/// | `keyed` | 30 | 1 | as `dims`, without the NULL |
/// | `pairs` | 60 | 2 | `k` twice each; `w` |
/// | `empty` | 0 | 1 | the columns of `facts` |
/// | `nothing` | 0 | 3 | the columns of `facts` |
/// | `lines` | 300 | 1 | CSV: `a`, `b` |
/// | `events` | 200 | 1 | JSON: `n`, `s` |
pub(crate) fn tables() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fact_files(path, "facts", 5, 500, 40);
    fact_files(path, "more", 3, 300, 80);
    fact_files(path, "nothing", 3, 0, 1);
    parquet(&path.join("empty.parquet"), &facts(0, 0, 1));
    let keys: Vec<Option<i32>> = (10..40).map(Some).collect();
    parquet(&path.join("keyed.parquet"), &named("name", keys.clone()));
    parquet(
        &path.join("dims.parquet"),
        &named("name", keys.into_iter().chain([None]).collect()),
    );
    fs::create_dir(path.join("pairs")).unwrap();
    for file in 0..2 {
        let keys = (5..35).map(|k| (k % 7 != file).then_some(k)).collect();
        parquet(&path.join(format!("pairs/{file}.parquet")), &named("w", keys));
    }
    let lines: String = (0..300).map(|i| format!("{},word {}\n", i % 17, i % 5)).collect();
    fs::write(path.join("lines.csv"), format!("a,b\n{lines}")).unwrap();
    let events: String = (0..200)
        .map(|i| format!("{{\"n\": {}, \"s\": \"e{}\"}}\n", i % 11, i % 3))
        .collect();
    fs::write(path.join("events.jsonl"), events).unwrap();
    folder
}

fn fact_files(folder: &Path, name: &str, files: usize, rows: usize, keys: usize) {
    fs::create_dir(folder.join(name)).unwrap();
    for file in 0..files {
        parquet(
            &folder.join(format!("{name}/part-{file}.parquet")),
            &facts(file * rows, rows, keys),
        );
    }
}

/// Rows `first..first + rows`, from a little generator: no dependence on anything but the row's number.
fn facts(first: usize, rows: usize, keys: usize) -> RecordBatch {
    let random = |row: usize, salt: u64| {
        let mut x = (row as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
        x ^= x >> 31;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (x ^ (x >> 29)) as usize
    };
    let rows = first..first + rows;
    let id = Int64Array::from_iter_values(rows.clone().map(|row| row as i64));
    let k = Int32Array::from_iter(
        rows.clone()
            .map(|row| (random(row, 1) % 11 != 0).then(|| (random(row, 2) % keys) as i32)),
    );
    let words = ["ash", "birch", "cedar", "", "elm"];
    let g = StringArray::from_iter(
        rows.clone()
            .map(|row| (random(row, 3) % 13 != 0).then(|| words[random(row, 4) % 5])),
    );
    let v = Decimal128Array::from_iter(
        rows.clone()
            .map(|row| (random(row, 5) % 17 != 0).then(|| (random(row, 6) % 100_000) as i128)),
    )
    .with_precision_and_scale(9, 2)
    .unwrap();
    let d = Date32Array::from_iter_values(rows.map(|row| 10_000 + (random(row, 7) % 90) as i32));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(id)),
        ("k", Arc::new(k)),
        ("g", Arc::new(g)),
        ("v", Arc::new(v)),
        ("d", Arc::new(d)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn named(column: &str, keys: Vec<Option<i32>>) -> RecordBatch {
    let names = StringArray::from_iter(keys.iter().map(|key| Some(format!("n{}", key.unwrap_or(-1) % 8))));
    let keys = Int32Array::from(keys);
    RecordBatch::try_from_iter_with_nullable([
        ("k", Arc::new(keys) as ArrayRef, true),
        (column, Arc::new(names) as ArrayRef, true),
    ])
    .unwrap()
}

fn parquet(path: &Path, rows: &RecordBatch) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(128))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}
