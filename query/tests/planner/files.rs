//! Tables of files as people have them: what the files say, or an error that names the file.

use crate::support;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use kappa_query::reference;
use kappa_query::session::Session;
use std::path::Path;
use std::sync::Arc;

type Files<'a> = &'a [(&'a str, &'a [u8])];

fn write(folder: &Path, files: Files<'_>) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// The rows, sorted, or what is said instead.
async fn ask(folder: &Path, sql: &str) -> Result<Vec<String>, String> {
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder).await.map_err(|e| e.to_string())?;
    let graph = session.plan(sql).await.map_err(|e| e.to_string())?;
    let rows = reference::run(&graph, &session).await.map_err(|e| e.to_string())?;
    Ok(support::sorted(support::rows(&rows)))
}

async fn answer(files: Files<'_>, sql: &str) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    ask(folder.path(), sql).await
}

#[track_caller]
fn gives(found: Result<Vec<String>, String>, expected: &[&str]) {
    assert_eq!(found.unwrap(), expected);
}

#[track_caller]
fn is_refused(found: Result<Vec<String>, String>, words: &[&str]) {
    let said = found.unwrap_err();
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

#[tokio::test]
async fn columns_of_csv_go_by_name_and_what_a_file_lacks_is_null() {
    let files: Files<'_> = &[
        ("t/1.csv", b"price,quantity\n1,1000\n2,1001\n"),
        ("t/2.csv", b"quantity,price\n1002,3\n"),
        ("t/3.csv", b"price\n4\n"),
    ];
    gives(
        answer(files, "SELECT sum(price), sum(quantity), count(*) FROM t").await,
        &["<10> <3003> <4>"],
    );
    let strange: Files<'_> = &[("t/1.csv", b"a,b\n1,2\n"), ("t/2.csv", b"x,y\n3,4\n")];
    is_refused(
        answer(strange, "SELECT * FROM t").await,
        &["2.csv", "none of the columns"],
    );
}

#[tokio::test]
async fn types_fit_every_value_of_every_file_however_late_it_comes() {
    let mut late = "id,v,code\n".to_owned();
    (0..20_000).for_each(|i| late.push_str(&format!("{i},{i},{i}\n")));
    late.push_str("20000,0.5,x\n");
    let files: Files<'_> = &[("t/1.csv", late.as_bytes()), ("t/2.csv", b"id,v,code\n20001,1,7\n")];
    gives(
        answer(files, "SELECT count(*), sum(v), max(code), max(id) FROM t").await,
        &["<20002> <199990001.5> <x> <20001>"],
    );
    let json: String = (0..3_000).map(|i| format!("{{\"id\": {i}, \"v\": 1}}\n")).collect();
    let json = format!("{json}{{\"id\": 3000, \"v\": 1.5, \"new\": [{{\"a\": null}}]}}\n");
    gives(
        answer(
            &[("t.json", json.as_bytes())],
            "SELECT count(*), sum(v), count(new) FROM t",
        )
        .await,
        &["<3001> <3001.5> <1>"],
    );
}

#[tokio::test]
async fn codes_keep_their_zeros_and_long_numbers_their_digits() {
    let files: Files<'_> = &[(
        "t.csv",
        b"zip,n,d,t\n01234,12345678901234567890,12345678901234567.89,2024-01-01\n50667,1,1,2024-01-01 10:00\n",
    )];
    gives(
        answer(files, "SELECT zip, n, d, t FROM t WHERE n > 1").await,
        &["<01234> <12345678901234567890> <12345678901234567.89> <2024-01-01T00:00:00>"],
    );
    let json: Files<'_> = &[("t.json", b"{\"n\": 12345678901234567890}\n{\"n\": 1}\n")];
    gives(answer(json, "SELECT max(n) FROM t").await, &["<12345678901234567890>"]);
}

#[tokio::test]
async fn null_is_nothing_and_the_empty_text_is_two_quotes() {
    let files: Files<'_> = &[("t.csv", b"id,name,n\n1,,\n2,\"\",\"\"\n3,Ada,5\n")];
    gives(
        answer(
            files,
            "SELECT count(name), count(*) FILTER (WHERE name = ''), count(n) FROM t",
        )
        .await,
        &["<2> <1> <1>"],
    );
    // With one column, a line of nothing is a row.
    gives(
        answer(&[("t.csv", b"v\n1\n\n2\n")], "SELECT count(*), count(v) FROM t").await,
        &["<3> <2>"],
    );
    gives(
        answer(&[("t.csv", b"v,w\n1,1\n\n2,2\n")], "SELECT count(*) FROM t").await,
        &["<2>"],
    );
}

#[tokio::test]
async fn packed_files_and_other_cases_are_read_with_the_others() {
    let packed = gzip("v\n1\n2\n");
    let zstd = zstd::encode_all(&b"v\n3\n"[..], 1).unwrap();
    let files: Files<'_> = &[
        ("t/1.csv.gz", &packed),
        ("t/2.csv.zst", &zstd),
        ("t/3.CSV", b"v\n4\n"),
        ("t/4.csv", b"v\n5\n"),
    ];
    gives(answer(files, "SELECT sum(v), count(*) FROM t").await, &["<15> <5>"]);
    let cut = &packed[..packed.len() - 9];
    is_refused(
        answer(&[("t.csv.gz", cut)], "SELECT * FROM t").await,
        &["t.csv.gz", "unpacked"],
    );
    let other: Files<'_> = &[("t/1.csv", b"v\n1\n"), ("t/2.csv.bz2", b"x")];
    is_refused(answer(other, "SELECT * FROM t").await, &["2.csv.bz2", ".gz"]);
}

#[tokio::test]
async fn csv_that_is_written_otherwise_is_read_or_refused_by_name_and_line() {
    gives(
        answer(&[("t.csv", b"id;city\n1;Ulm\n2;Bonn, Rhein\n")], "SELECT city FROM t").await,
        &["<Bonn, Rhein>", "<Ulm>"],
    );
    gives(
        answer(
            &[("t.csv", b"\xef\xbb\xbfid,note\r\n1,\"a\r\nb\"\r\n2,5\" pipe\r\n")],
            "SELECT length(note) FROM t WHERE id > 0",
        )
        .await,
        &["<4>", "<7>"],
    );
    gives(
        answer(
            &[("t/1.csv", b""), ("t/2.csv", b"v\n"), ("t/3.csv", b"v\n7\n")],
            "SELECT sum(v) FROM t",
        )
        .await,
        &["<7>"],
    );
    gives(
        answer(&[("t.csv", b"a,a,\n1,2,3\n")], "SELECT a_1, column2 FROM t").await,
        &["<2> <3>"],
    );
    for (text, words) in [
        (&b"a,b\n1,2\n3\n"[..], &["t.csv", "line 3", "1 values", "2 columns"][..]),
        (b"a,b\n1,2\n3,4,5\n", &["t.csv", "line 3", "3 values"]),
        (b"a,b\n1,caf\xe9\n", &["t.csv", "line 2", "UTF-8"]),
        (b"a\n\"x\n", &["t.csv", "line 2", "never closed"]),
        (b"1,Ada\n2,Bob\n", &["t.csv", "looks like the rows below"]),
        (b"", &["t.csv", "empty"]),
    ] {
        is_refused(answer(&[("t.csv", text)], "SELECT * FROM t").await, words);
    }
}

#[tokio::test]
async fn json_is_read_in_every_layout_and_what_is_of_several_kinds_is_text() {
    let records = [
        "{\"a\": 1, \"b\": {\"x\": [1, null]}}",
        "{\"b\": {\"x\": []}, \"a\": \"t\"}",
        "{\"a\": true}",
    ];
    let lines = records.join("\n");
    let array = format!("[{}]", records.join(",\n "));
    let broken = records.join("\n").replace(", ", ",\n  ");
    for text in [lines, array, broken] {
        gives(
            answer(&[("t.json", text.as_bytes())], "SELECT a, cardinality(b['x']) FROM t").await,
            &["<1> <2>", "<t> <0>", "<true> <NULL>"],
        );
    }
    for (text, words) in [
        ("{\"a\": 1}\n{\"a\": 2", &["t.json", "line 2"][..]),
        ("{\"a\": 1}\n{\"a\": 1, \"a\": 2}\n", &["t.json", "line 2", "twice"]),
        ("{\"a\": 1}\n7\n", &["t.json", "line 2"]),
    ] {
        is_refused(answer(&[("t.json", text.as_bytes())], "SELECT * FROM t").await, words);
    }
}

#[tokio::test]
async fn a_large_file_is_cut_into_units_that_read_each_row_once() {
    let csv: String = (0..20_000)
        .map(|i| format!("{i},\"say \"\"{}\"\", \"\r\n", i % 7))
        .collect();
    let json: String = (0..20_000)
        .map(|i| format!("{{\"id\": {i}, \"s\": \"{{{}\"}}\n", i % 7))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("c/1.csv", format!("id,s\r\n{csv}").as_bytes()),
            ("c/2.csv", b"s,id\r\n\"x\",-1\r\n".as_slice()),
            ("j/1.json", json.as_bytes()),
            ("j/2.json", b"{\"s\": \"x\", \"id\": -1}"),
        ],
    );
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder.path()).await.unwrap();
    for table in ["c", "j"] {
        let graph = session.plan(&format!("SELECT id FROM {table}")).await.unwrap();
        assert!(
            graph.stages[0].units > 20,
            "{table} has {} units",
            graph.stages[0].units
        );
        let sql = format!("SELECT count(*), count(DISTINCT id), sum(id), count(DISTINCT s) FROM {table}");
        gives(ask(folder.path(), &sql).await, &["<20001> <20001> <199989999> <8>"]);
    }
}

/// Records that are not one per line: units begin at line breaks, and there may be none, or too many.
#[tokio::test]
async fn a_large_json_file_gives_each_row_once_however_its_lines_end() {
    let records: Vec<String> = (0..5_000)
        .map(|i| format!("{{\"id\": {i}, \"s\": \"{{{}\"}}", i % 7))
        .collect();
    let in_pairs: Vec<String> = records.chunks(2).map(|pair| pair.join(" ")).collect();
    let indented: String = records
        .iter()
        .map(|record| format!("{}{record}\n", " ".repeat(300)))
        .collect();
    let broken: Vec<String> = records.iter().map(|record| record.replace(", ", ",\n")).collect();
    for (layout, text) in [
        ("one after another", records.concat()),
        ("with spaces", records.join("  ")),
        ("two on a line", in_pairs.join("\n")),
        ("ended by CR", records.join("\r")),
        ("ended by CR LF", records.join("\r\n")),
        ("behind spaces", indented),
        ("of two lines", broken.join("\n")),
        ("with empty lines", records.join("\n\n\n")),
        ("an array in a line", format!("[{}]", records.join(", "))),
        ("an array of lines", format!("[\n{}\n]", records.join(",\n"))),
        ("behind a mark", format!("\u{feff}{}", records.join("\n"))),
    ] {
        let files: Files<'_> = &[
            ("t/1.json", text.as_bytes()),
            ("t/2.json", b"{\"id\": -1, \"s\": \"x\"}"),
        ];
        let sql = "SELECT count(*), count(DISTINCT id), sum(id), count(DISTINCT s) FROM t";
        let found = answer(files, sql).await.unwrap();
        assert_eq!(found, ["<5001> <5001> <12497499> <8>"], "{layout}");
    }
}

#[tokio::test]
async fn files_that_come_change_or_go_are_seen_by_the_next_query() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("t/1.csv", b"x\n1\n")]);
    let session = Session::new(support::options()).unwrap();
    session.register_folder(folder.path()).await.unwrap();
    let sum = async || -> Result<Vec<String>, String> {
        let graph = session
            .plan("SELECT sum(x), count(*) FROM t")
            .await
            .map_err(|e| e.to_string())?;
        let rows = reference::run(&graph, &session).await.map_err(|e| e.to_string())?;
        Ok(support::rows(&rows))
    };
    gives(sum().await, &["<1> <1>"]);
    write(folder.path(), &[("t/2.csv", b"x\n0.5\n")]);
    gives(sum().await, &["<1.5> <2>"]);
    write(folder.path(), &[("t/1.csv", b"x\n20\n")]);
    gives(sum().await, &["<20.5> <2>"]);
    std::fs::remove_file(folder.path().join("t/1.csv")).unwrap();
    gives(sum().await, &["<0.5> <1>"]);
    write(folder.path(), &[("t/3.csv.xz", b"?")]);
    is_refused(sum().await, &["3.csv.xz"]);
    std::fs::remove_dir_all(folder.path().join("t")).unwrap();
    is_refused(sum().await, &["there is no such folder"]);
}

#[tokio::test]
async fn a_parquet_file_with_two_columns_of_one_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    parquet(
        &folder.path().join("t.parquet"),
        vec![("a", column.clone()), ("a", column)],
    );
    is_refused(
        ask(folder.path(), "SELECT * FROM t").await,
        &["t.parquet", "two columns \"a\""],
    );
}

#[tokio::test]
async fn dates_that_nanoseconds_do_not_reach_are_not_lost_beside_them() {
    let files: Files<'_> = &[("t.csv", b"t\n9999-12-31\n2024-01-01 00:00:00.123456789\n")];
    gives(
        answer(files, "SELECT t FROM t").await,
        &["<2024-01-01 00:00:00.123456789>", "<9999-12-31>"],
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_in_nobodys_way() {
    let files: Files<'_> = &[
        ("orders/1.csv", b"v\n1\n"),
        ("notes.json", b"{\"id\": 2, \"te"),
        ("broken.parquet", b"x"),
        ("mixed/1.csv", b"a\n1\n"),
        ("mixed/2.json", b"{\"a\": 1}\n"),
    ];
    gives(answer(files, "SELECT sum(v) FROM orders").await, &["<1>"]);
    is_refused(answer(files, "SELECT * FROM notes").await, &["notes.json"]);
    is_refused(answer(files, "SELECT * FROM broken").await, &["broken.parquet"]);
    is_refused(answer(files, "SELECT * FROM mixed").await, &["2.json", "CSV"]);
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[tokio::test]
async fn parquet_files_whose_types_became_wider_are_one_table_and_others_are_refused_by_column() {
    let folder = tempfile::tempdir().unwrap();
    let old: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let new: ArrayRef = Arc::new(Int64Array::from(vec![5_000_000_000]));
    parquet(&folder.path().join("t/1.parquet"), vec![("i", old.clone())]);
    parquet(
        &folder.path().join("t/2.parquet"),
        vec![("new", new.clone()), ("i", new.clone())],
    );
    gives(
        ask(folder.path(), "SELECT sum(i), count(new), count(*) FROM t WHERE i > 1").await,
        &["<5000000002> <1> <2>"],
    );
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    parquet(&folder.path().join("t/3.parquet"), vec![("i", text)]);
    is_refused(
        ask(folder.path(), "SELECT * FROM t").await,
        &["3.parquet", "\"i\"", "Utf8", "Int64"],
    );
}

#[tokio::test]
async fn rows_with_nan_are_not_left_out_by_statistics_that_nan_is_not_in() {
    let folder = tempfile::tempdir().unwrap();
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, 3.0, f64::NAN]));
    parquet(&folder.path().join("t.parquet"), vec![("x", floats)]);
    for (sql, expected) in [
        ("SELECT count(*) FROM t WHERE x > 5", "<1>"),
        ("SELECT count(*) FROM t WHERE x <> 3", "<3>"),
        ("SELECT max(x), min(x) FROM t", "<NaN> <0.0>"),
        (
            "SELECT max(r) FROM (SELECT dense_rank() OVER (ORDER BY x) AS r FROM t)",
            "<3>",
        ),
        (
            "SELECT max(n) FROM (SELECT count(*) OVER (PARTITION BY x) AS n FROM t)",
            "<2>",
        ),
    ] {
        assert_eq!(ask(folder.path(), sql).await.unwrap(), [expected], "{sql}");
    }
}
