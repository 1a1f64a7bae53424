use crate::support::{SCALE, data, failure, on_data, program, text};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_command_line_that_makes_no_sense_says_what_would() {
    for (arguments, complaint) in [
        (vec!["run", "--queries", "1,100"], "queries 1 to 99"),
        (vec!["run", "--scale", "big"], "give a number from 0.001 to 100000"),
        (vec!["run", "--chaos", "maybe"], "--chaos"),
        (vec!["run", "--time-limit", "soon"], "--time-limit"),
        (
            vec!["generate", "--scale", "0", "--output", "x"],
            "give a number from 0.001 to 100000",
        ),
        (vec!["query", "1", "--param", "year"], "write name=value"),
        (vec!["query", "--param", "year=1"], "required"),
        (vec![], "Usage"),
    ] {
        let message = failure(program(&arguments), 2);
        assert!(message.contains(complaint), "{arguments:?}: {message}");
    }
}

#[test]
fn a_query_or_parameter_that_does_not_exist_is_named() {
    let message = failure(program(&["query", "100"]), 1);
    assert_eq!(
        message,
        "error: there is no query `100`; TPC-DS has queries 1 to 99: give numbers and ranges, for example 1,16,90-95\n"
    );
    let message = failure(program(&["query", "1", "--param", "yaer=1"]), 1);
    assert!(
        message.starts_with("error: query 1 has no parameter `yaer`; it has year, "),
        "{message}"
    );
}

#[test]
fn options_that_do_not_go_together_are_refused_before_anything_is_done() {
    let message = failure(on_data("run", &["--engine", "datafusion", "--workers", "3"]), 1);
    assert!(
        message.contains("--engine datafusion runs in this process"),
        "{message}"
    );
    let message = failure(on_data("verify", &["--memory-limit", "1GB"]), 1);
    assert!(message.contains("--memory-limit needs --platform process"), "{message}");
}

#[test]
fn a_missing_folder_and_missing_tables_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere");
    for command in ["run", "verify"] {
        let mut run = program(&[command, "--data"]);
        run.arg(&missing);
        let message = failure(run, 1);
        assert!(
            message.contains(&format!(
                "cannot read the data folder {}: No such file",
                missing.display()
            )),
            "{message}"
        );
        let mut run = program(&[command, "--data"]);
        run.arg(folder.path());
        let message = failure(run, 1);
        assert!(
            message.contains("lacks every table; `kappa-tpcds generate --scale 1 --output"),
            "{message}"
        );
    }
}

#[test]
fn data_of_another_scale_is_refused() {
    let mut run = program(&["run", "--scale", "1", "--data"]);
    run.arg(data());
    let message = failure(run, 1);
    assert!(
        message.contains(&format!("was made for scale {SCALE}, not 1")),
        "{message}"
    );
}

/// A folder of its own with all tables, to be damaged.
fn own_data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = program(&["generate", "--scale", SCALE, "--output"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success());
    folder
}

/// A query that reads `item`.
fn on_item(data: &Path, engine: &str) -> Command {
    let mut run = program(&["run", "--scale", SCALE, "--queries", "3", "--engine", engine, "--data"]);
    run.arg(data);
    run
}

#[test]
fn a_corrupt_file_is_one_message_with_its_name_on_both_engines() {
    let folder = own_data();
    let file = folder.path().join("item/part-0001.parquet");
    let whole = fs::read(&file).unwrap();
    for damaged in [&b"not Parquet at all"[..], &whole[..whole.len() - 20], b""] {
        fs::write(&file, damaged).unwrap();
        for engine in ["kappa", "datafusion"] {
            let message = failure(on_item(folder.path(), engine), 1);
            let start = format!("error: {} is not a readable Parquet file: ", file.display());
            assert!(message.starts_with(&start) && message.lines().count() == 1, "{message}");
        }
    }
}

#[test]
fn damage_that_no_footer_tells_of_fails_the_query_that_reads_it_and_kappa_names_the_file() {
    let folder = own_data();
    let file = folder.path().join("item/part-0001.parquet");
    let mut holed = fs::read(&file).unwrap();
    let half = holed.len() / 2;
    holed[100..half].fill(0xa5);
    fs::write(&file, holed).unwrap();
    for engine in ["kappa", "datafusion"] {
        let output = on_item(folder.path(), engine).output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        let failed: Vec<_> = stdout.lines().filter(|line| line.contains("FAILED: ")).collect();
        assert!(failed.len() == 1 && !stderr.contains("panicked"), "{stdout}{stderr}");
        let names_it = failed[0].contains(&file.display().to_string());
        assert!(names_it || engine == "datafusion", "{stdout}");
    }
}

#[test]
fn without_a_home_there_is_no_cache_and_the_message_says_what_to_give() {
    let mut run = program(&["run", "--queries", "1"]);
    run.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    let message = failure(run, 1);
    assert!(message.contains("give a folder with --data"), "{message}");
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let mut run = on_data("run", &["--queries", "1", "--state"]);
    run.arg(file.join("state"));
    let message = failure(run, 1);
    assert!(message.contains(&file.join("state").display().to_string()), "{message}");
}
