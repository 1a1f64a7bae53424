//! What happened: drops, and effects between suspension points.

use serde::{Deserialize, Serialize};
use std::cell::RefCell;

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static HISTORY: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Something happened in this "process".
pub fn log(text: impl Into<String>) {
    let text = text.into();
    HISTORY.with(|history| history.borrow_mut().push(text.clone()));
    LOG.with(|log| log.borrow_mut().push(text));
}

/// What happened in this process since the last time. A program may call it.
pub fn take_log() -> Vec<String> {
    LOG.with(|log| std::mem::take(&mut *log.borrow_mut()))
}

/// The same, for the comparison only.
pub fn take_history() -> Vec<String> {
    take_log();
    HISTORY.with(|history| std::mem::take(&mut *history.borrow_mut()))
}

pub(super) fn history_length() -> usize {
    HISTORY.with(|history| history.borrow().len())
}

/// An effect in the middle of an expression.
pub fn note(value: i64) -> i64 {
    log(format!("={value}"));
    value
}

/// A value whose drop is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noisy(pub String);

pub fn noisy(name: &str) -> Noisy {
    Noisy(name.to_string())
}

impl Drop for Noisy {
    fn drop(&mut self) {
        log(format!("-{}", self.0));
    }
}
