//! A batch's `main`: runs its programs, and says of each what came out, one JSON object a line.

use std::any::Any;
use std::cell::Cell;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Stack of the thread that runs a program, in bytes.
const STACK: usize = 256 << 20;

thread_local! {
    static CHECKPOINTS: Cell<usize> = const { Cell::new(0) };
}

/// A task was resumed from this many checkpoints.
pub fn count(checkpoints: usize) {
    CHECKPOINTS.set(CHECKPOINTS.get() + checkpoints);
}

/// Runs each program in a thread of its own, beginning with the one whose number is the first argument of the process. Before each a line
/// `{"begins": name}`, after it one with `name`, `checkpoints` and the `problem`, if there is one.
pub fn report(programs: &[(&str, fn())]) {
    let first = std::env::args()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    std::panic::set_hook(Box::new(|_| {}));
    for (name, check) in programs.iter().skip(first).copied() {
        say(&serde_json::json!({ "begins": name }));
        let run = move || {
            let problem = catch_unwind(AssertUnwindSafe(check)).err().map(|panic| words(&*panic));
            (problem, CHECKPOINTS.get())
        };
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(run);
        let (problem, checkpoints) = match thread.map(std::thread::JoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => (Some(words(&*panic)), 0),
            Err(error) => (Some(format!("there is no thread to run it in: {error}")), 0),
        };
        say(&serde_json::json!({ "name": name, "checkpoints": checkpoints, "problem": problem }));
    }
}

fn say(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    // Nobody reads it any more: there is nothing left to do.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_string()
}
