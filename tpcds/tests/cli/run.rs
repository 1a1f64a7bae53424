use crate::support::{SCALE, on_data, program, success, text};
use std::fs;
use std::path::Path;

/// The names of the statements in a table, without the header and the total.
fn statements(table: &str) -> Vec<&str> {
    let names: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        (names.first(), names.last()),
        (Some(&"query"), Some(&"total")),
        "{table}"
    );
    names[1..names.len() - 1].to_vec()
}

#[test]
fn the_papers_four_queries_run_on_both_engines_with_the_same_numbers_of_rows() {
    let rows = |engine: &str| -> Vec<String> {
        let table = success(on_data("run", &["--queries", "1,16,94,95", "--engine", engine]));
        assert_eq!(statements(&table), ["1", "16", "94", "95"]);
        table
            .lines()
            .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
            .take(5)
            .collect()
    };
    assert_eq!(rows("kappa"), rows("datafusion"));
}

#[test]
fn a_query_of_two_statements_has_two_lines() {
    let table = success(on_data("run", &["--queries", "39,3", "--engine", "datafusion"]));
    assert_eq!(statements(&table), ["39.1", "39.2", "3"]);
    assert!(table.lines().last().unwrap().contains("3 statements, "), "{table}");
}

#[test]
fn missing_data_is_generated_into_the_cache_once() {
    let cache = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = program(&["run", "--scale", SCALE, "--queries", "42", "--engine", "datafusion"]);
        command.env("XDG_CACHE_HOME", cache.path());
        success(command)
    };
    run();
    let table = cache
        .path()
        .join("kappa/tpcds")
        .join(format!("scale-{SCALE}"))
        .join("item");
    let made = fs::metadata(&table).unwrap().modified().unwrap();
    run();
    assert_eq!(fs::metadata(&table).unwrap().modified().unwrap(), made);
}

/// How many statements the ledger of a state folder calls started, forgotten and finished.
fn recorded(state: &Path) -> [usize; 3] {
    let ledger = fs::read_to_string(state.join("tpcds-run.jsonl")).unwrap();
    ["Started", "Forgotten", "Finished"].map(|what| ledger.matches(&format!("{{\"{what}\":")).count())
}

#[test]
fn the_same_command_tries_again_what_failed_and_shows_again_what_succeeded() {
    let state = tempfile::tempdir().unwrap();
    let run = || {
        // So little data makes query 90 divide by zero.
        let mut command = on_data("run", &["--queries", "90,3", "--state"]);
        let output = command.arg(state.path()).output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        assert!(stdout.contains("   90  FAILED: "), "{stdout}");
        let of_3 = stdout.lines().find(|line| line.starts_with("    3  "));
        of_3.unwrap().to_owned()
    };
    let first = run();
    assert_eq!(recorded(state.path()), [2, 1, 1]);
    assert_eq!(run(), first, "query 3 was not run again");
    assert_eq!(recorded(state.path()), [3, 2, 1]);
}
