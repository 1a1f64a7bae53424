//! Ctrl-C and SIGTERM in the middle of a query.

use crate::support::{eventually, on_data, signal, text};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A place for everything that the program leaves behind.
struct Place {
    folder: TempDir,
    /// In the environment of the program and of every process that it starts.
    mark: String,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        let mark = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        Place { folder, mark }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `run` or `verify` on two worker processes.
    fn program(&self, command: &str, arguments: &[&str]) -> Command {
        let mut program = on_data(command, &["--platform", "process", "--workers", "2"]);
        program
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.path("tmp"))
            .env("KAPPA_TPCDS_TEST", &self.mark)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        program
    }

    /// Starts the program, sends it the signal as soon as a stage has put something into the store, waits for its end.
    fn interrupted(&self, mut program: Command, store: &str, sent: Signal) -> Output {
        let child = program.spawn().unwrap();
        eventually("a stage has put something into the store", || {
            files_below(&self.path(store))
                .iter()
                .any(|file| file.components().any(|part| part.as_os_str() == "stages"))
        });
        assert!(self.processes().len() > 1, "there are workers");
        signal(&child, sent);
        child.wait_with_output().unwrap()
    }

    /// Living processes with this place's mark in their environment.
    fn processes(&self) -> Vec<PathBuf> {
        let mark = format!("KAPPA_TPCDS_TEST={}", self.mark);
        let is_marked = |folder: &Path| {
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        processes.filter(|folder| is_marked(folder)).collect()
    }

    /// No process and no temporary file.
    fn assert_nothing_is_left(&self) {
        eventually("all processes are gone", || self.processes().is_empty());
        let left: Vec<_> = fs::read_dir(self.path("tmp")).unwrap().flatten().collect();
        assert!(left.is_empty(), "temporary files are left: {left:?}");
    }
}

/// All files of a folder and its folders. Somebody may be adding and removing some.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn r13_an_interrupt_ends_the_query_with_its_processes_and_its_objects() {
    for (command, sent, code) in [
        ("run", Signal::SIGINT, 130),
        ("run", Signal::SIGTERM, 143),
        ("verify", Signal::SIGINT, 130),
    ] {
        let place = Place::new();
        let ended = place.interrupted(place.program(command, &["--store", "file:store"]), "store", sent);
        let (stdout, stderr) = (text(&ended.stdout), text(&ended.stderr));
        assert_eq!(ended.status.code(), Some(code), "{command} {sent}: {stdout}{stderr}");
        assert_eq!(stderr, "interrupted\n");
        assert!(!stdout.contains("FAILED"), "{command} {sent}: {stdout}");
        place.assert_nothing_is_left();
        assert_eq!(
            files_below(&place.path("store")),
            Vec::<PathBuf>::new(),
            "{command} {sent}"
        );
    }
}

#[test]
fn an_interrupted_job_with_a_state_folder_goes_on_with_the_same_command() {
    let place = Place::new();
    let program = || place.program("run", &["--queries", "1-4", "--state", "state"]);
    let ended = place.interrupted(program(), "state/store", Signal::SIGINT);
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stdout));
    assert_eq!(text(&ended.stderr), "the same command goes on from here\ninterrupted\n");
    place.assert_nothing_is_left();

    let ended = program().output().unwrap();
    let (stdout, stderr) = (text(&ended.stdout), text(&ended.stderr));
    assert!(ended.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("total  4 statements, "), "{stdout}");
    place.assert_nothing_is_left();
}
