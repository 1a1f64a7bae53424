use crate::support::{SCALE, on_data, program, success};
use std::fs;

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
