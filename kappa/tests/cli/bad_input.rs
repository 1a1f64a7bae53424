//! Whatever is wrong is one clear message, a non-zero exit code, and nothing left behind.

use crate::program::{Ended, Place};
use std::process::Command;

fn assert_refused(ended: &Ended, code: i32, reasons: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    let messages = ended.stderr.lines().filter(|line| line.starts_with("error:")).count();
    assert_eq!(messages, 1, "{}", ended.stderr);
    for reason in reasons {
        assert!(ended.stderr.contains(reason), "{reason:?} is not in: {}", ended.stderr);
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_code_2_with_the_reason() {
    let place = Place::new();
    let good = r#"{"folder": ".", "word": "x"}"#;
    for (arguments, reasons) in [
        (
            &["run", "--input", "{bad"][..],
            &["--input is not JSON", "line 1 column 2"][..],
        ),
        (
            &["run", "--input", "@missing.json"],
            &["cannot read the input file missing.json", "No such file"],
        ),
        (&["run"], &["argument `folder` is missing"]),
        (
            &["run", "--input", r#"{"folder": "."}"#],
            &["argument `word` is missing"],
        ),
        (
            &["run", "--input", r#"{"folder": ".", "word": 7}"#],
            &["argument `word`", "integer `7`, expected a string"],
        ),
        (
            &["run", "--input", r#"{"folder": ".", "words": "x"}"#],
            &["unknown argument `words`", "`folder`, `word`"],
        ),
        (
            &["run", "--input", r#"["."]"#],
            &["the input has 1 values", "`folder`, `word`"],
        ),
        (
            &["run", "--input", good, "--platform", "cloud"],
            &["'cloud'", "in-process, process, http"],
        ),
        (
            &["run", "--input", good, "--time-limit", "5"],
            &["--time-limit", "`2s`"],
        ),
        (
            &["run", "--input", good, "--memory-limit", "lots"],
            &["--memory-limit", "`512MB`"],
        ),
        (
            &["run", "--input", good, "--memory-limit", "1GB"],
            &["--memory-limit needs --platform process"],
        ),
        (
            &["run", "--input", good, "--link", "http"],
            &["--link http needs --platform process"],
        ),
        (
            &[
                "run",
                "--input",
                good,
                "--platform",
                "process",
                "--listen",
                "127.0.0.1:7",
            ],
            &["--listen needs --link http, or a platform whose workers are elsewhere"],
        ),
        (
            &["run", "--input", good, "--link", "http", "--listen", "everywhere"],
            &["--listen", "everywhere"],
        ),
        (
            &["run", "--input", good, "--chaos", "kill=2"],
            &["between 0 and 1", "kill=0.3,seed=7"],
        ),
        (&["run", "--input", good, "--workers", "0"], &["--workers"]),
        (
            &["run", "--input", good, "--state", "s", "--store", "memory:"],
            &["--state needs a store that outlives this process"],
        ),
        (&["resume", "x!"], &["that is not a run's id"]),
        (
            &["resume", "01a20a85f7637394b05ae92a820b294d"],
            &["resume needs --state DIR"],
        ),
        (&["fly"], &["'fly'"]),
    ] {
        let ended = place.run("grep", arguments);
        assert_refused(&ended, 2, reasons);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let place = Place::new();
    place.write("file", "x");
    let good = r#"{"folder": ".", "word": "x"}"#;
    for (arguments, reasons) in [
        (
            &["run", "--input", r#"{"folder": "nowhere", "word": "x"}"#][..],
            &["cannot read the folder nowhere", "No such file"][..],
        ),
        (
            &["run", "--input", good, "--store", "file:no/such"],
            &["file:no/such", "cannot open the folder", "No such file"],
        ),
        (
            &["run", "--input", good, "--store", "file:file"],
            &["file:file", "not a directory"],
        ),
        (
            &["run", "--input", good, "--store", "ftp://host"],
            &["`ftp`", "`memory:` or `file:DIR`"],
        ),
        (
            &["run", "--input", good, "--state", "file/state"],
            &["state directory file/state", "Not a directory"],
        ),
        (
            &["run", "--input", good, "--platform", "process", "--store", "memory:"],
            &["`process` cannot use the store `memory:`", "file:DIR"],
        ),
        (
            &["resume", "01a20a85f7637394b05ae92a820b294d", "--state", "state"],
            &["no run 01a20a85f7637394b05ae92a820b294d"],
        ),
    ] {
        let ended = place.run("grep", arguments);
        assert_refused(&ended, 1, reasons);
    }
}

#[test]
fn without_a_place_for_temporary_files_the_way_out_is_said() {
    let place = Place::new();
    let arguments = ["run", "--input", "5", "--platform", "process"];
    let output = place
        .command("factorial", &arguments)
        .env("TMPDIR", "/nowhere")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("/nowhere") && stderr.contains("TMPDIR"), "{stderr}");
}

#[test]
fn a_file_that_cannot_be_read_fails_the_run_with_its_name() {
    let place = Place::new();
    for platform in ["in-process", "process"] {
        let input = r#"{"files": ["missing.txt"], "output": "out"}"#;
        let ended = place.run("word_count", &["run", "--input", input, "--platform", platform]);
        assert_refused(&ended, 1, &["cannot read", "missing.txt", "No such file", "word_count"]);
    }
}

#[test]
fn an_output_folder_with_something_in_it_is_left_alone() {
    let place = Place::new();
    place.write("text", "a b");
    place.write("mine", "precious");
    let ended = place.run(
        "word_count",
        &["run", "--input", r#"{"files": ["text"], "output": "."}"#],
    );
    assert_refused(&ended, 1, &["the output folder . is not empty"]);
    assert_eq!(std::fs::read(place.path("mine")).unwrap(), b"precious");
}

/// Runs the command line in a world of its own in which `small` is a disk of so many bytes, nearly full; `None` where the system does not allow that.
fn with_small_disk(place: &Place, bytes: u64, arguments: &[&str]) -> Option<Ended> {
    let small = place.path("small");
    std::fs::create_dir_all(&small).unwrap();
    let mount = format!("mount -t tmpfs -o size={bytes} tmpfs small");
    let world = |script: String| {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"])
            .current_dir(place.folder.path());
        unshare
    };
    if !world(mount.clone())
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return None;
    }
    let program = place.command("word_count", arguments);
    let mut command = world(format!("{mount} && exec \"$@\""));
    command.arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    place.assert_nothing_is_left();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Some(Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    })
}

#[test]
fn a_full_disk_is_one_clear_message() {
    let place = Place::new();
    // Words that are all different: what is counted is as long as the text.
    let text: String = (0..200_000).map(|n| format!("word{n}\n")).collect();
    place.write("text", text);
    let to = |output: &str| format!(r#"{{"files": ["text"], "output": "{output}"}}"#);
    let cases = [
        (
            vec!["run", "--store", "file:small"],
            to("out1"),
            vec!["small", "No space left on device"],
        ),
        (
            vec!["run", "--store", "file:small", "--platform", "process"],
            to("out2"),
            vec!["small", "No space left on device"],
        ),
        (
            vec!["run"],
            to("small/out"),
            vec!["small/out", "No space left on device"],
        ),
    ];
    for (arguments, input, reasons) in cases {
        let arguments = [arguments, vec!["--input", &input]].concat();
        let Some(ended) = with_small_disk(&place, 1 << 20, &arguments) else {
            eprintln!("not tested: this system lets nobody mount a small disk");
            return;
        };
        assert_refused(&ended, 1, &reasons);
    }
}

#[test]
fn a_full_disk_under_the_state_directory_is_one_clear_message() {
    let place = Place::new();
    let text: String = (0..200_000).map(|n| format!("word{n}\n")).collect();
    place.write("text", text);
    let input = r#"{"files": ["text"], "output": "out", "split_bytes": 20000}"#;
    let Some(ended) = with_small_disk(&place, 256 << 10, &["run", "--state", "small/state", "--input", input]) else {
        eprintln!("not tested: this system lets nobody mount a small disk");
        return;
    };
    assert_refused(&ended, 1, &["small/state"]);
}
