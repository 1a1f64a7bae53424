//! Runs commands of the shell as parallel tasks, and gives their exit codes.
//!
//! ```text
//! cargo run --release -p kappa --example commands -- run --input '{"commands": ["uname -s", "sleep 1; exit 3"]}' --platform process
//! ```
//!
//! prints `[0,3]`. What the commands print is told on stderr, on every platform: stdout is for the result. A command that was killed together with its
//! worker is run again; one that a worker has started ends with that worker at the latest, however that ends.

use kappa::prelude::*;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

#[kappa::task]
async fn command(_cx: &mut Context, line: String) -> Result<Option<i32>> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(&line).stdin(Stdio::null()).stdout(Stdio::piped());
    // In process, an invocation that is given up is dropped, and nothing else.
    let mut child = shell.kill_on_drop(true).spawn()?;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(said) = lines.next_line().await? {
            println!("{said}");
        }
    }
    Ok(child.wait().await?.code())
}

#[kappa::task]
async fn commands(cx: &mut Context, commands: Vec<String>) -> Result<Vec<Option<i32>>> {
    let tasks = cx.spawn_all(commands.into_iter().map(command)).await;
    Ok(cx.wait_all(&tasks).await?)
}

fn main() -> kappa::ExitCode {
    kappa::main(commands)
}
