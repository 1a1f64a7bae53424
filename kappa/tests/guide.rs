//! The guide cannot go stale: whatever test or file its tables name is there, and no guarantee or trap is left out.
//!
//! (That its snippets compile is shown by the documentation tests.)

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The guarantees of the coordinator, and the row for what proves all of them.
const GUARANTEES: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "all"];

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table with this header: what is in `backticks` in the last cell of each row, by the first cell.
fn table(header: &str) -> BTreeMap<String, Vec<String>> {
    let guide = fs::read_to_string(crate_folder().join("README.md")).expect("the guide");
    let mut lines = guide.lines().skip_while(|line| *line != header);
    assert!(lines.next().is_some(), "the guide has no table {header}");
    let mut rows = BTreeMap::new();
    for row in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (first, last) = (cells[0], cells[cells.len() - 1]);
        let quoted = last.split('`').skip(1).step_by(2).map(str::to_string);
        let twice = rows.insert(first.to_string(), quoted.collect());
        assert!(twice.is_none(), "{first} is there twice");
    }
    rows
}

/// All files below a folder.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true if !path.ends_with("target") => collect(&path, into),
            true => {}
            false => into.push(path),
        }
    }
}

/// The text of every Rust file of the crate, but for this one.
fn sources() -> String {
    let mut files = Vec::new();
    collect(crate_folder(), &mut files);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.retain(|path| !path.ends_with("tests/guide.rs"));
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a source file");
    files.iter().map(text).collect()
}

/// What is named, and neither a function nor a file of this crate.
fn missing(rows: &BTreeMap<String, Vec<String>>, sources: &str) -> Vec<String> {
    let is_there = |name: &str| match name.ends_with(".rs") {
        true => crate_folder().join(name).is_file(),
        false => ["(", "<"]
            .iter()
            .any(|next| sources.contains(&format!("fn {name}{next}"))),
    };
    let named = rows.values().flatten();
    named.filter(|name| !is_there(name)).cloned().collect()
}

#[test]
fn every_test_that_the_guide_names_is_there() {
    let sources = sources();
    for header in [
        "| guarantee | proved by |",
        "| trap | what goes wrong elsewhere | tests |",
    ] {
        let rows = table(header);
        assert_eq!(missing(&rows, &sources), Vec::<String>::new(), "in {header}");
        for (row, names) in &rows {
            assert!(!names.is_empty(), "{row} has no test");
        }
    }
    // What is named in the text, outside of the tables. Nothing but a test has so long a name.
    let guide = fs::read_to_string(crate_folder().join("README.md")).expect("the guide");
    let is_name = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let quoted = guide
        .split('`')
        .filter(|word| is_name(word) && word.matches('_').count() >= 4);
    let named = BTreeMap::from([("text".to_string(), quoted.map(str::to_string).collect::<Vec<_>>())]);
    assert!(named["text"].len() > 100, "only {}", named["text"].len());
    assert_eq!(
        missing(&named, &sources),
        Vec::<String>::new(),
        "somewhere in the guide"
    );
    // It would be noticed.
    let invented = BTreeMap::from([("r00".to_string(), vec!["r00_there_is".to_string() + "_no_such_test"])]);
    assert_eq!(missing(&invented, &sources).len(), 1);
}

#[test]
fn every_guarantee_and_every_trap_is_in_the_guide() {
    let guarantees = table("| guarantee | proved by |");
    assert_eq!(guarantees.keys().collect::<Vec<_>>(), GUARANTEES);
    let traps = table("| trap | what goes wrong elsewhere | tests |");
    let expected: Vec<_> = (1..=28).map(|number| format!("r{number:02}")).collect();
    assert_eq!(traps.keys().cloned().collect::<Vec<_>>(), expected);
    let without: Vec<_> = traps
        .iter()
        .filter(|(trap, names)| !names.iter().any(|name| name.contains(&format!("{trap}_"))))
        .map(|(trap, _)| trap.as_str())
        .collect();
    assert!(without.is_empty(), "no test is named after {without:?}");
}

/// The program of the README.
mod program {
    include!("readme/program.rs");

    /// Its first task, with these arguments.
    pub(super) fn call(folder: PathBuf, word: &str) -> kappa::TaskCall<impl kappa::task::TaskFunction<Value = usize>> {
        grep(folder, word.to_string())
    }
}

#[tokio::test]
async fn the_program_of_the_readme_does_what_its_command_line_asks_also_for_folders_within_the_folder() {
    let readme = fs::read_to_string(crate_folder().join("../README.md")).expect("the README");
    let program = include_str!("readme/program.rs").trim_end();
    assert!(
        readme.contains(program),
        "tests/readme/program.rs is not the README's program"
    );
    assert!(readme.contains(r#"--input '{"folder": "kappa/src", "word": "coordinator"}'"#));

    let mut files = Vec::new();
    collect(&crate_folder().join("src"), &mut files);
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a source file");
    let expected: usize = files
        .iter()
        .map(text)
        .map(|text| text.matches("coordinator").count())
        .sum();
    let kappa = kappa::Kappa::builder().build().await.expect("a place");
    let call = program::call(crate_folder().join("src"), "coordinator");
    assert_eq!(kappa.run(call).await.expect("a number"), expected);
}
