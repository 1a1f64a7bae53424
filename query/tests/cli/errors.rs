//! Bad input: one clear message that says what and where, and nothing left behind.

use crate::support::Shop;
use std::fs;

#[test]
fn a_missing_data_folder_is_named() {
    let shop = Shop::new();
    shop.run(&["--data", "nowhere", "-c", "SELECT 1"])
        .failed(1, &["nowhere", "there is no such folder"]);
    shop.run(&["--data", "data/cities.csv", "-c", "SELECT 1"])
        .failed(1, &["data/cities.csv", "is a file"]);
    fs::create_dir(shop.path("hollow")).unwrap();
    shop.run(&["--data", "hollow", "-c", "SELECT 1"])
        .failed(1, &["hollow", "holds no .parquet"]);
}

#[test]
fn an_unknown_table_names_the_nearest_and_all() {
    let shop = Shop::new();
    shop.sql("SELECT * FROM order_", &[]).failed(
        1,
        &[
            "kappa-sql: there is no table \"order_\"; did you mean orders?\n",
            "tables: cities, events, orders\n",
        ],
    );
    shop.run(&["-c", "SELECT * FROM orders"])
        .failed(1, &["there is no table \"orders\"", "--data DIR"]);
}

#[test]
fn an_unknown_column_names_the_nearest_and_all() {
    Shop::new().sql("SELECT prize FROM orders", &[]).failed(
        1,
        &[
            "kappa-sql: there is no column prize; did you mean price?\n",
            "columns: orders.id, orders.city, orders.price, orders.day\n",
        ],
    );
}

#[test]
fn a_syntax_error_says_line_and_column_and_points_there() {
    let shop = Shop::new();
    let ran = shop.sql("SELECT id\nFROM orders\nWHERE ) = id", &[]);
    ran.failed(1, &[]);
    assert_eq!(
        ran.err,
        "kappa-sql: syntax error at line 3, column 7: expected an expression, found: )\n  WHERE ) = id\n        ^\n"
    );
    fs::write(shop.path("q.sql"), "SELECT 1;\n\nSELECT (1;\n").unwrap();
    shop.run(&["-f", "q.sql"]).failed(
        1,
        &[
            "syntax error in q.sql, line 3, column 10: expected",
            "\n  SELECT (1;\n           ^\n",
        ],
    );
    shop.pipe(
        "SELECT 1 AS a;\nSELECT\n(;\n",
        &["--format", "csv", "--output", "/dev/null"],
    )
    .failed(1, &["syntax error in standard input, line 3, column 2: "]);
}

#[test]
fn a_corrupt_parquet_file_is_named_to_whoever_asks_for_its_table_and_to_nobody_else() {
    let shop = Shop::new();
    let whole = fs::read(shop.data().join("orders.parquet")).unwrap();
    for broken in [&whole[..whole.len() / 2], &[]] {
        fs::write(shop.data().join("broken.parquet"), broken).unwrap();
        shop.sql("SELECT * FROM broken", &[])
            .failed(1, &["broken.parquet", "cannot be read as Parquet"]);
        shop.sql("SELECT count(*) AS n FROM orders", &["--format", "csv"])
            .wrote("n\n5\n");
    }
}

#[test]
fn a_parquet_file_whose_pages_are_corrupt_fails_the_query() {
    let shop = Shop::new();
    let path = shop.data().join("orders.parquet");
    let mut bytes = fs::read(&path).unwrap();
    // The footer stays whole: only whoever reads the rows can see it.
    bytes[4..200].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    for platform in ["in-process", "process"] {
        let ran = shop.sql("SELECT sum(id), max(city) FROM orders", &["--platform", platform]);
        ran.failed(1, &["orders.parquet"]);
    }
}

#[test]
fn nothing_to_run_is_an_error() {
    let shop = Shop::new();
    for sql in ["", " ;; ", "-- nothing"] {
        shop.sql(sql, &[]).failed(2, &["there is no statement in -c"]);
    }
    fs::write(shop.path("empty.sql"), "\n").unwrap();
    shop.run(&["-f", "empty.sql"])
        .failed(1, &["there is no statement in empty.sql"]);
    shop.pipe("", &["-f", "-"])
        .failed(1, &["there is no statement in standard input"]);
}

#[test]
fn a_file_of_statements_that_cannot_be_read_is_named() {
    let shop = Shop::new();
    shop.run(&["-f", "nowhere.sql"])
        .failed(1, &["nowhere.sql cannot be read: there is no such file"]);
    shop.run(&["-f", "data"])
        .failed(1, &["data cannot be read: it is a folder"]);
    fs::write(shop.path("latin.sql"), b"SELECT '\xe9'").unwrap();
    shop.run(&["-f", "latin.sql"])
        .failed(1, &["latin.sql cannot be read: it is not UTF-8 text"]);
}

#[test]
fn an_output_file_that_cannot_be_is_refused_before_anything_runs() {
    let shop = Shop::new();
    shop.sql("SELECT 1", &["--output", "no/such/file"])
        .failed(1, &["no/such/file cannot be written"]);
    shop.sql("SELECT 1", &["--output", "data"])
        .failed(1, &["data cannot be written: it is a folder"]);
}

#[test]
fn a_full_disk_is_reported() {
    let shop = Shop::new();
    let ran = shop.sql("SELECT * FROM orders", &["--output", "/dev/full"]);
    ran.failed(1, &["the result cannot be written: No space left on device"]);
}

#[test]
fn a_wrong_flag_names_what_would_be_right() {
    let shop = Shop::new();
    shop.sql("SELECT 1", &["--format", "tabel"])
        .failed(2, &["tabel", "table, csv, json"]);
    shop.sql("SELECT 1", &["--fromat", "csv"])
        .failed(2, &["--fromat", "--format"]);
    shop.sql("SELECT 1", &["--platform", "cloud"])
        .failed(2, &["cloud", "in-process, process"]);
    shop.sql("SELECT 1", &["-f", "x.sql"])
        .failed(2, &["cannot be used with"]);
    shop.sql("SELECT 1", &["--time-limit", "fast"]).failed(2, &["fast"]);
    shop.sql("SELECT 1", &["--chaos", "kill=2"]).failed(2, &["kill=2"]);
    shop.sql("SELECT 1", &["--memory-limit", "1GB"])
        .failed(2, &["--memory-limit needs --platform process"]);
}

#[test]
fn a_store_that_is_not_there_is_named() {
    let shop = Shop::new();
    shop.sql("SELECT count(*) FROM orders", &["--store", "ftp://host"])
        .failed(1, &["ftp"]);
    shop.sql("SELECT count(*) FROM orders", &["--store", "file:/proc/nowhere"])
        .failed(1, &["/proc/nowhere"]);
    shop.sql("SELECT count(*) FROM orders", &["--state", "/proc/nowhere"])
        .failed(1, &["/proc/nowhere"]);
}

#[test]
fn a_run_that_cannot_be_resumed_is_named() {
    let shop = Shop::new();
    shop.run(&["resume", "nonsense", "--state", "state"])
        .failed(2, &["\"nonsense\" is not a run's id"]);
    let unknown = "0195e7a2b3c47d8e9fa0b1c2d3e4f506";
    shop.run(&["resume", unknown, "--state", "state"]).failed(1, &[unknown]);
    shop.run(&["resume", unknown]).failed(2, &["--state DIR"]);
}

#[test]
fn an_error_while_running_says_what_happened() {
    let shop = Shop::new();
    for platform in ["in-process", "process"] {
        shop.sql("SELECT 1 / (id - 1) FROM orders", &["--platform", platform])
            .failed(1, &["ivide by zero"]);
    }
    shop.sql("SELECT CAST(city AS INT) FROM orders", &[])
        .failed(1, &["Oslo"]);
}
