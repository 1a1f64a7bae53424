//! Statements from a standard input that is no terminal: each is run when its `;` has arrived.
//!
//! The first error ends it: what follows may depend on what failed.

use crate::cli::commands::{Command, Next, is_command};
use crate::cli::shell::{Shell, Stop};
use crate::cli::statements::{Origin, is_blank, is_complete, without_mark};
use std::io::{self, BufRead};
use tokio::sync::mpsc;

/// Runs what standard input gives, to its end.
pub(crate) async fn run(shell: &mut Shell) -> Result<(), Stop> {
    let mut lines = lines_of_stdin();
    let mut pending = Pending::default();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            interrupt = shell.interrupts.next() => return Err(Stop::Interrupted(interrupt, None)),
        };
        let Some(line) = line else { break };
        let line = line.map_err(|error| Stop::Failed(format!("standard input cannot be read: {error}")))?;
        if pending.is_blank() && is_command(&line) {
            pending.skip();
            if Command::parse(&line).map_err(Stop::Failed)?.run(shell).await? == Next::Leave {
                return Ok(());
            }
        } else if let Some((sql, origin)) = pending.push(&line) {
            shell.run_text(&sql, &origin).await?;
        }
    }
    match pending.take() {
        Some((sql, origin)) => shell.run_text(&sql, &origin).await,
        None => Ok(()),
    }
}

/// The lines, read by a thread of their own: waiting for one can be interrupted.
fn lines_of_stdin() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(64);
    let of_thread = sender.clone();
    let read = move || {
        let sender = of_thread;
        let mut stdin = io::stdin().lock();
        let mut is_first = true;
        loop {
            let mut line = String::new();
            let read = stdin.read_line(&mut line);
            let is_last = !matches!(read, Ok(1..));
            let message = match read {
                Ok(0) => return,
                Ok(_) if is_first => Ok(without_mark(&line).to_owned()),
                Ok(_) => Ok(line),
                Err(error) => Err(error),
            };
            is_first = false;
            if sender.blocking_send(message).is_err() || is_last {
                return;
            }
        }
    };
    if let Err(cause) = std::thread::Builder::new().spawn(read) {
        // There is room for it.
        let _ = sender.try_send(Err(cause));
    }
    receiver
}

/// The lines of a statement that is not complete.
#[derive(Debug, Default)]
struct Pending {
    text: String,
    /// How many lines came before the text.
    lines_before: usize,
    lines: usize,
}

impl Pending {
    fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// A line that is no SQL.
    fn skip(&mut self) {
        self.lines_before += self.lines + 1;
        self.lines = 0;
        self.text.clear();
    }

    /// Takes a line, and gives the text back when the line completes it.
    fn push(&mut self, line: &str) -> Option<(String, Origin)> {
        self.text.push_str(line);
        self.lines += 1;
        // Only a line with a `;` can complete anything: a long statement is looked at once, not once per line.
        if line.contains(';') && is_complete(&self.text) {
            self.take()
        } else {
            None
        }
    }

    /// Gives back what there is, unless it is blank.
    fn take(&mut self) -> Option<(String, Origin)> {
        let origin = Origin::file("standard input", self.lines_before + 1);
        self.lines_before += std::mem::take(&mut self.lines);
        let text = std::mem::take(&mut self.text);
        (!is_blank(&text)).then_some((text, origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_given_when_its_semicolon_has_arrived() {
        let mut pending = Pending::default();
        assert_eq!(pending.push("select\n"), None);
        assert_eq!(pending.push("';'\n"), None);
        let (sql, origin) = pending.push(";\n").unwrap();
        assert_eq!(sql, "select\n';'\n;\n");
        assert_eq!(origin.first_line, 1);
        assert!(pending.is_blank());
        pending.skip();
        assert_eq!(pending.push("select 2; select 3;\n").unwrap().1.first_line, 5);
        assert_eq!(pending.push("-- the end;\n"), None);
        assert_eq!(pending.push("select 4"), None);
        let (sql, origin) = pending.take().unwrap();
        assert_eq!((sql.as_str(), origin.first_line), ("-- the end;\nselect 4", 6));
        assert_eq!(pending.take(), None);
    }
}
