//! Starting the program, and data that all tests share.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The scale of the shared data: every table has rows, and generating takes a few seconds.
pub(crate) const SCALE: &str = "0.01";

/// The program with these arguments.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kappa-tpcds"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A folder with all tables at [`SCALE`], made by whichever test comes first: the program locks it meanwhile.
pub(crate) fn data() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tpcds-{SCALE}"));
    let made = program(&["generate", "--scale", SCALE, "--output"])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    folder
}

/// `run` or `verify` on the shared data.
pub(crate) fn on_data(command: &str, arguments: &[&str]) -> Command {
    let mut program = program(&[command, "--scale", SCALE, "--data"]);
    program.arg(data()).args(arguments);
    program
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the program printed, after checking that it said that all is well.
pub(crate) fn success(mut command: Command) -> String {
    let output = command.output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout
}

/// The one message on stderr of a program that must fail with this exit code, without a panic.
pub(crate) fn failure(mut command: Command, code: i32) -> String {
    let output: Output = command.output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{stdout}\n{stderr}");
    assert!(
        !stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"),
        "{stderr}"
    );
    stderr
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
