//! What an operator does to programs: copies and moves their state, fills their disks, hangs up, takes their files away.

use crate::program::{Ended, Place, Running, wait_until};
use nix::sys::signal::Signal;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// The same program, started by a shell that does something before; its last word is what starts the program.
fn after(shell: &str, program: &Command) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell} \"$0\" \"$@\""));
    command.arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(program.get_current_dir().unwrap());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run_id(ended: &Ended) -> String {
    let after = ended
        .stderr
        .split(" resume ")
        .nth(1)
        .unwrap_or_else(|| panic!("{ended:?}"));
    after.split(' ').next().unwrap().to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Everything below a folder, with the time of its last change.
fn all_below(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        found.push((entry.path(), entry.metadata().unwrap().modified().unwrap()));
        if entry.path().is_dir() {
            found.extend(all_below(&entry.path()));
        }
    }
    found.sort();
    found
}

/// A run that somebody has interrupted when it had objects in its store; gives its id.
fn interrupted(place: &Place, more: &[&str]) -> String {
    place.write("text", "the quick brown fox jumps over the lazy dog\n".repeat(600));
    let input = r#"{"files": ["text"], "output": "out", "split_bytes": 60}"#;
    let arguments = [&["run", "--input", input, "--state", "state"], more].concat();
    let mut running = Running::start(place.command("word_count", &arguments));
    let run = running.run_id();
    wait_until("something has been done", || {
        ["state/store/runs", "state/objects/runs"]
            .iter()
            .any(|runs| place.path(runs).exists())
    });
    running.send(Signal::SIGINT);
    assert_eq!(running.end().code, Some(130));
    run
}

#[test]
fn a_copied_state_is_gone_on_with_where_it_is_and_the_original_stays_as_it_was() {
    // With a store of its own, and with another one within the state.
    for more in [&[][..], &["--store", "file:state/objects"]] {
        let place = Place::new();
        let run = interrupted(&place, more);
        copy(&place.path("state"), &place.path("copy"));
        let before = all_below(&place.path("state"));
        let resumed = place.kappa(&["resume", &run, "--state", "copy"]);
        assert_eq!(resumed.value(), json!({"words": 5400, "distinct": 8}), "{resumed:?}");
        assert_eq!(all_below(&place.path("state")), before, "the original has changed");
        let shown = place.kappa(&["show", &run, "--state", "copy", "--json"]);
        assert_eq!(shown.value()["state"], "ended");
        let shown = place.kappa(&["show", &run, "--state", "state", "--json"]);
        assert_eq!(shown.value()["state"], "interrupted");

        // What is removed with the copy's run is the copy's alone.
        let removed = place.kappa(&["gc", "--state", "copy", "--all"]);
        assert!(removed.stdout.contains(&run), "{removed:?}");
        assert_eq!(all_below(&place.path("state")), before, "the original has changed");
        let resumed = place.kappa(&["resume", &run, "--state", "state"]);
        assert_eq!(resumed.value(), json!({"words": 5400, "distinct": 8}));
    }
}

#[test]
fn a_state_that_was_moved_is_gone_on_with_where_it_is_now_and_not_made_anew_where_it_was() {
    let place = Place::new();
    let run = interrupted(&place, &["--store", "file:state/objects"]);
    fs::rename(place.path("state"), place.path("moved")).unwrap();
    let resumed = place.kappa(&["resume", "last", "--state", "moved"]);
    assert_eq!(resumed.value(), json!({"words": 5400, "distinct": 8}), "{resumed:?}");
    let again = place.kappa(&["resume", &run[..12], "--state", "file:moved"]);
    assert_eq!(again.value(), resumed.value());
    let removed = place.kappa(&["gc", "--state", "moved"]);
    assert!(removed.stdout.contains(&run), "{removed:?}");
    assert!(!place.path("state").exists());
}

#[test]
fn a_url_that_cannot_be_a_state_is_refused_and_no_folder_of_that_name_is_made() {
    let place = Place::new();
    for (state, reason) in [
        ("s3://bucket/x", "--state DIR --store s3://bucket/x"),
        ("s3:bucket", "a state is a folder, or Redis servers"),
        ("http://host/x", "a state is a folder, or Redis servers"),
        ("https://host", "a state is a folder, or Redis servers"),
        ("memory:", "a state is a folder, or Redis servers"),
        ("file://host/x", "write `file:/PATH`"),
        ("file+sync:x", "--state x --sync"),
    ] {
        for arguments in [
            &["run", "--input", "5", "--state", state][..],
            &["resume", "last", "--state", state],
            &["runs", "--state", state],
        ] {
            let refused = place.run("factorial", arguments);
            assert_eq!(refused.code, Some(2), "{refused:?}");
            assert!(refused.stderr.contains(reason), "{refused:?}");
        }
    }
    assert_eq!(
        fs::read_dir(place.folder.path()).unwrap().count(),
        0,
        "something was made"
    );
    assert_eq!(
        place
            .run("factorial", &["run", "--input", "5", "--state", "file:state"])
            .value(),
        json!("120")
    );
    assert!(place.path("state/runs").is_dir());
    assert_eq!(
        place.run("factorial", &["resume", "last", "--state", "state"]).value(),
        json!("120")
    );
}

#[test]
fn a_file_that_may_not_grow_stops_the_run_with_what_to_do_and_then_it_goes_on() {
    for platform in ["in-process", "process"] {
        let place = Place::new();
        let input = r#"{"megabytes": 8, "readers": 4}"#;
        let arguments = ["run", "--input", input, "--state", "state", "--platform", platform];
        let program = place.command("store_round_trip", &arguments);
        let limited = after("trap '' XFSZ; ulimit -f 2000; exec", &program).output().unwrap();
        let stopped = Ended::of(limited);
        assert_eq!((stopped.code, stopped.stdout.as_str()), (Some(1), ""), "{stopped:?}");
        let run = run_id(&stopped);
        for part in [
            "File too large",
            "raise the limit of a file's size",
            "nothing is lost",
            &format!("`store_round_trip resume {run} --state state`"),
        ] {
            assert!(stopped.stderr.contains(part), "{part}: {stopped:?}");
        }
        let resumed = place.run(
            "store_round_trip",
            &["resume", &run, "--state", "state", "--platform", platform],
        );
        let plain = place.run("store_round_trip", &["run", "--input", input]);
        assert_eq!(resumed.value(), plain.value());
        place.assert_nothing_is_left();
    }
}

/// A small file system of its own.
struct Disk(PathBuf);

impl Disk {
    /// `None` if this machine does not let us have one: then other tests have to do.
    fn of_megabytes(path: PathBuf, size: u32) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let disk = Disk(path);
        disk.mount(&format!("size={size}m"), &["-t", "tmpfs", "tmpfs"])
            .then_some(disk)
    }

    fn mount(&self, options: &str, more: &[&str]) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", options]).args(more).arg(&self.0);
        mount
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .stderr(Stdio::null())
            .status();
    }
}

#[test]
fn a_disk_that_is_full_or_only_to_be_read_stops_the_run_and_then_it_goes_on() {
    for platform in ["in-process", "process"] {
        let place = Place::new();
        let Some(disk) = Disk::of_megabytes(place.path("disk"), 4) else {
            return;
        };
        let input = r#"{"megabytes": 8, "readers": 4}"#;
        let arguments = ["run", "--input", input, "--state", "disk/state", "--platform", platform];
        let stopped = place.run("store_round_trip", &arguments);
        assert_eq!((stopped.code, stopped.stdout.as_str()), (Some(1), ""), "{stopped:?}");
        let run = run_id(&stopped);
        for part in ["No space left on device", "make room on the disk", "nothing is lost"] {
            assert!(stopped.stderr.contains(part), "{part}: {stopped:?}");
        }
        let resume = ["resume", &run, "--state", "disk/state", "--platform", platform];
        let again = place.run("store_round_trip", &resume);
        assert_eq!(again.code, Some(1), "it is still full: {again:?}");
        assert!(again.stderr.contains("No space left on device"), "{again:?}");

        assert!(disk.mount("remount,size=64m,ro", &[]));
        let read_only = place.run("store_round_trip", &resume);
        assert_eq!(read_only.code, Some(1), "{read_only:?}");
        assert!(read_only.stderr.contains("Read-only file system"), "{read_only:?}");

        assert!(disk.mount("remount,size=64m,rw", &[]));
        let resumed = place.run("store_round_trip", &resume);
        let plain = place.run("store_round_trip", &["run", "--input", input]);
        assert_eq!(resumed.value(), plain.value());
    }
}

#[test]
fn nohup_is_honoured_and_without_it_a_hang_up_ends_a_run_in_good_order() {
    for (ignored, is_ignored) in [("trap '' HUP; exec", true), ("exec", false)] {
        let place = Place::new();
        let arguments = ["run", "--input", r#"{"commands": ["sleep 2"]}"#, "--state", "state"];
        let mut running = Running::start(after(ignored, &place.command("commands", &arguments)));
        running.run_id();
        running.send(Signal::SIGHUP);
        let ended = running.end();
        match is_ignored {
            true => assert_eq!(ended.value(), json!([0])),
            false => assert_eq!((ended.code, ended.stdout.as_str()), (Some(143), ""), "{ended:?}"),
        }
        place.assert_nothing_is_left();
    }
}

#[test]
fn what_tasks_print_goes_to_stderr_on_every_platform() {
    let place = Place::new();
    for platform in ["in-process", "process"] {
        let input = r#"{"commands": ["echo printed by a task", "exit 3"]}"#;
        let ended = place.run("commands", &["run", "--input", input, "--platform", platform]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "[0,3]\n"), "{ended:?}");
        assert!(ended.stderr.contains("printed by a task\n"), "{ended:?}");
    }
}

#[test]
fn what_a_task_has_started_ends_with_its_worker_however_that_ends() {
    let input = r#"{"commands": ["sleep 1000 & sleep 1000", "sleep 1000 & sh -c 'sleep 1000 & wait'"]}"#;
    let sleepers = |place: &Place| place.processes().len() >= 8;
    // Its program is killed, or interrupted.
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        let place = Place::new();
        let running = Running::start(place.command("commands", &["run", "--input", input, "--platform", "process"]));
        wait_until("the commands are running", || sleepers(&place));
        running.send(signal);
        running.end();
        place.assert_nothing_is_left();
    }
    // Its time is over, again and again.
    let place = Place::new();
    let limits = [
        "run",
        "--input",
        input,
        "--platform",
        "process",
        "--time-limit",
        "300ms",
    ];
    let failed = place.run("commands", &limits);
    assert!(failed.stderr.contains("ran out of time"), "{failed:?}");
    // It ends, and what it has left behind goes with the worker.
    let place = Place::new();
    let left = r#"{"commands": ["sleep 1000 > /dev/null 2>&1 &"]}"#;
    let ended = place.run("commands", &["run", "--input", left, "--platform", "process"]);
    assert_eq!(ended.value(), json!([0]));
}

#[test]
fn a_memory_limit_under_which_no_worker_can_start_is_refused_at_once_with_its_last_words() {
    let place = Place::new();
    let arguments = [
        "run",
        "--input",
        "5",
        "--platform",
        "process",
        "--memory-limit",
        "100kB",
        "--state",
        "state",
    ];
    let refused = place.run("factorial", &arguments);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    for part in [
        "within the memory limit of 100000 bytes",
        "raise --memory-limit",
        "it said last",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    let run = run_id(&refused);
    let resumed = place.run(
        "factorial",
        &["resume", &run, "--state", "state", "--platform", "process"],
    );
    assert_eq!(resumed.value(), json!("120"));
}

#[test]
fn a_program_that_has_too_few_open_files_for_a_worker_says_so_and_what_to_do() {
    let place = Place::new();
    let arguments = [
        "run",
        "--input",
        r#"{"commands": ["true"]}"#,
        "--platform",
        "process",
        "--quiet",
    ];
    let program = place.command("commands", &arguments);
    // How many it takes until it starts, and until it has enough, is the libraries' business.
    let said: Vec<_> = (12..40)
        .step_by(2)
        .map(|limit| after(&format!("ulimit -n {limit}; exec timeout -s INT 3"), &program))
        .map(|mut limited| Ended::of(limited.output().unwrap()).stderr)
        .collect();
    let told = said
        .iter()
        .find(|said| said.contains("the platform has started nothing for"));
    let told = told.unwrap_or_else(|| panic!("{said:?}"));
    for part in ["Too many open files", "ulimit -n", "it is tried again"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn errors_cannot_move_the_cursor() {
    let place = Place::new();
    let name = "no\u{1b}[2Jsuch\u{7}\rfolder";
    for state in [name.to_string(), format!("{name}/x")] {
        for ended in [
            place.kappa(&["show", "last", "--state", &state]),
            place.run("factorial", &["resume", "last", "--state", &state]),
        ] {
            assert_eq!(ended.code, Some(1), "{ended:?}");
            let is_harmful = |c: char| c.is_control() && c != '\n';
            assert!(!ended.stderr.contains(is_harmful), "{ended:?}");
            assert!(ended.stderr.contains(r"no\u{1b}[2Jsuch\u{7}\rfolder"), "{ended:?}");
        }
    }
}
