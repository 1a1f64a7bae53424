//! What clients were told, and what they must never be told.

use super::super::PutId;
use std::collections::HashMap;

/// What was acknowledged.
#[derive(Default)]
pub(super) struct History {
    /// Of keys that are put once: the value that won.
    once: HashMap<String, u64>,
    /// Of keys that are replaced again and again: who replaced what.
    replaced: HashMap<(String, Option<PutId>), u64>,
    pub(super) violations: Vec<String>,
    pub(super) acknowledged: u64,
}

impl History {
    fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    /// A value was put where none may be replaced.
    pub(super) fn put_once(&mut self, key: &str, value: u64) {
        self.acknowledged += 1;
        if let Some(other) = self.once.insert(key.to_string(), value) {
            self.violated(format!("both {other} and {value} were put under {key}"));
        }
    }

    /// A value replaced the one with this id.
    pub(super) fn replaced(&mut self, key: &str, before: Option<PutId>, value: u64) {
        self.acknowledged += 1;
        if let Some(other) = self.replaced.insert((key.to_string(), before), value) {
            self.violated(format!("both {other} and {value} replaced the same value of {key}"));
        }
    }

    /// What must be read by whoever begins to read now.
    pub(super) fn expected(&self, key: &str) -> Option<u64> {
        self.once.get(key).copied()
    }

    /// Everything that was put once.
    pub(super) fn all(&self) -> Vec<(String, u64)> {
        self.once.iter().map(|(key, value)| (key.clone(), *value)).collect()
    }

    /// A value was read that had been acknowledged before.
    pub(super) fn read(&mut self, key: &str, expected: Option<u64>, found: Option<u64>) {
        if let (Some(expected), true) = (expected, expected != found) {
            self.violated(format!("{key} is {found:?}, and {expected} was acknowledged"));
        }
    }

    /// An operation was refused for good.
    pub(super) fn refused(&mut self, cause: &str) {
        // Refusals are no wrong answers, but these say that one was given before.
        if cause.contains("without each other") || cause.contains("different things") {
            self.violated(cause.to_string());
        }
    }
}
