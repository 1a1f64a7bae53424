//! Statements from files and pipes, and the commands that start with a backslash.

use crate::support::Shop;
use std::fs;
use std::io::Read;
use std::process::Stdio;

const CSV: [&str; 4] = ["--data", "data", "--format", "csv"];

#[test]
fn a_file_of_statements_is_run_from_top_to_bottom() {
    let shop = Shop::new();
    let script = "-- two statements; one view\nCREATE VIEW dear AS SELECT id FROM orders WHERE price > 15;\nSELECT count(*) AS n FROM dear";
    fs::write(shop.path("q.sql"), script).unwrap();
    shop.run(&[&CSV[..], &["-f", "q.sql"]].concat()).wrote("n\n2\n");
    shop.pipe(script, &[&CSV[..], &["-f", "-"]].concat()).wrote("n\n2\n");
}

#[test]
fn statements_from_a_pipe_are_run_one_by_one() {
    let shop = Shop::new();
    let ran = shop.pipe(
        "SELECT 1\nAS a;\n\n\\format json\nSELECT 2 AS b; SELECT\n'\n;\n' AS c;\nSELECT 4 AS d",
        &CSV,
    );
    ran.wrote("a\n1\n{\"b\":2}\n{\"c\":\"\\n;\\n\"}\n{\"d\":4}\n");
    shop.pipe("", &CSV).wrote("");
}

#[test]
fn the_first_error_of_a_pipe_ends_it() {
    let shop = Shop::new();
    let ran = shop.pipe("SELECT 1 AS a;\nSELECT nope FROM orders;\nSELECT 3 AS c;\n", &CSV);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "a\n1\n"), "{ran:?}");
    assert!(ran.err.contains("there is no column nope"), "{}", ran.err);
    shop.pipe("\\nope\n", &CSV)
        .failed(1, &["there is no command \\nope; \\? lists the commands"]);
}

#[test]
fn commands_show_tables_and_columns() {
    let shop = Shop::new();
    shop.pipe("\\d\n", &CSV).wrote("table\ncities\nevents\norders\n");
    shop.pipe("\\d orders\n\\q\nSELECT 1;\n", &CSV)
        .wrote("column,type,nullable\nid,Int64,yes\ncity,Utf8,yes\nprice,\"Decimal128(12, 2)\",yes\nday,Date32,yes\n");
    shop.pipe("\\d nothing\n", &CSV)
        .failed(1, &["there is no table \"nothing\"", "tables: cities, events, orders"]);
}

#[test]
fn timing_and_help_go_to_standard_error() {
    let shop = Shop::new();
    let ran = shop.pipe("\\timing\nSELECT 1 AS a;\n\\?\n", &CSV);
    ran.wrote("a\n1\n");
    assert!(ran.err.starts_with("timing is on\n("), "{}", ran.err);
    assert!(ran.err.contains(" s)\n") && ran.err.contains("\\d NAME"), "{}", ran.err);
}

#[test]
fn names_in_files_of_all_kinds_are_tables() {
    let shop = Shop::new();
    fs::create_dir(shop.data().join("Parts of it")).unwrap();
    fs::write(shop.data().join("Parts of it/1.csv"), "x\n1\n").unwrap();
    fs::write(shop.data().join("Parts of it/2.csv"), "x\n2\n").unwrap();
    let sql = "SELECT e.what, c.country, (SELECT sum(x) FROM \"Parts of it\") AS s FROM events e CROSS JOIN cities c ORDER BY 1, 2";
    shop.sql(sql, &["--format", "csv"])
        .wrote("what,country,s\nopen,Norway,3\nopen,USA,3\n,Norway,3\n,USA,3\n");
    shop.sql("SELECT * FROM parts_of_it", &[])
        .failed(1, &["did you mean \"Parts of it\"?"]);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let shop = Shop::large();
    let mut command = shop.program();
    command.args([
        "--data",
        "data",
        "--format",
        "csv",
        "-c",
        "SELECT a.id, a.city, a.day FROM orders a, (VALUES (1), (2)) b",
    ]);
    let mut child = shop.start(command.stdin(Stdio::null()));
    let mut first = [0; 9];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"id,city,d");
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    shop.assert_nothing_is_left();
}

#[test]
fn help_shows_examples_and_the_version_is_there() {
    let shop = Shop::new();
    let help = shop.run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for part in ["Examples:", "--data", "--chaos", "--state", "resume", "Exit codes:"] {
        assert!(help.out.contains(part), "{part} is not in {}", help.out);
    }
    shop.run(&["--version"])
        .wrote(&format!("kappa-sql {}\n", env!("CARGO_PKG_VERSION")));
}
