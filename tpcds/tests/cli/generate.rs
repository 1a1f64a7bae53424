use crate::support::{eventually, program, signal, success, text};
use kappa_tpcds::data::{DataFolder, FolderError, Scale};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::Stdio;

fn tables(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Starts generating and sends the signal while the largest tables are half written.
fn interrupted(output: &Path, sent: Signal) -> std::process::Output {
    let mut command = program(&["generate", "--scale", "3", "--threads", "2", "--output"]);
    let child = command.arg(output).stderr(Stdio::piped()).spawn().unwrap();
    let half_written = output.join(".generating/store_sales");
    eventually("store_sales is being written", || {
        fs::read_dir(&half_written).is_ok_and(|mut parts| parts.next().is_some())
    });
    signal(&child, sent);
    child.wait_with_output().unwrap()
}

#[test]
fn r13_ctrl_c_while_generating_leaves_no_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("data");
    let ended = interrupted(&output, Signal::SIGINT);
    assert_eq!(ended.status.code(), Some(130));
    assert_eq!(
        text(&ended.stderr),
        "stopped before all tables were generated; start it again to go on\n"
    );
    // Tables that were finished before may be there; nothing else is.
    let left = if output.exists() { tables(&output) } else { Vec::new() };
    assert!(
        !left.iter().any(|name| name.starts_with('.') || name == "store_sales"),
        "{left:?}"
    );
}

#[test]
fn a_killed_generation_leaves_no_table_that_looks_complete_and_is_not() {
    let folder = tempfile::tempdir().unwrap();
    interrupted(folder.path(), Signal::SIGKILL);
    assert!(!folder.path().join("store_sales").exists());
    let scale = Scale::new(3.0).unwrap();
    match DataFolder::open(folder.path(), scale) {
        Err(FolderError::Incomplete { missing, .. }) => {
            assert!(missing == "every table" || missing.contains("store_sales"), "{missing}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_generations_at_once_share_the_work_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = program(&["generate", "--scale", "0.01", "--output"]);
        command.arg(folder.path()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, second) = (start(), start());
    let mut said = [first, second].map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        text(&output.stderr)
    });
    said.sort();
    assert!(said[0].starts_with("24 tables with "), "{said:?}");
    assert!(said[1].starts_with("all 24 tables are there already"), "{said:?}");
}

#[test]
fn queries_are_listed_and_printed_with_their_parameters() {
    let list = success(program(&["query"]));
    assert_eq!(list.lines().count(), 99);
    let query = success(program(&["query", "1", "--param", "year=1998", "--param", "state=OH"]));
    assert!(
        query.contains("1998") && query.contains("'OH'") && !query.contains("'TN'") && query.ends_with(";\n"),
        "{query}"
    );
    assert_eq!(success(program(&["query", "14"])).matches(";\n").count(), 2);
}
