//! What clients were told, and what they must never be told.

use super::super::PutId;
use std::collections::{BTreeMap, HashMap};

/// What was acknowledged.
#[derive(Default)]
pub(super) struct History {
    /// Of keys that are put once: the value that won.
    once: HashMap<String, u64>,
    /// Of keys that are replaced again and again: who replaced what.
    replaced: HashMap<(String, Option<PutId>), u64>,
    /// The journal's batches.
    batches: BTreeMap<String, u64>,
    /// The lease that was taken last.
    lease: Option<PutId>,
    /// What whoever took it last has found.
    found: Option<(PutId, Vec<String>)>,
    pub(super) violations: Vec<String>,
    pub(super) acknowledged: u64,
}

impl History {
    pub(super) fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    /// A value was put where none may be replaced.
    pub(super) fn put_once(&mut self, key: &str, value: u64) {
        self.acknowledged += 1;
        if let Some(other) = self.once.insert(key.to_string(), value) {
            self.violated(format!("both {other} and {value} were put under {key}"));
        }
    }

    /// A value that nobody else puts is about to be deleted.
    pub(super) fn deletes(&mut self, key: &str) {
        self.once.remove(key);
    }

    /// A value replaced the one with this id.
    pub(super) fn replaced(&mut self, key: &str, before: Option<PutId>, value: u64) {
        self.acknowledged += 1;
        if let Some(other) = self.replaced.insert((key.to_string(), before), value) {
            self.violated(format!("both {other} and {value} replaced the same value of {key}"));
        }
    }

    /// The lease was taken from whoever had it. Gives the batches that whoever took it must find.
    pub(super) fn leased(&mut self, before: Option<PutId>, id: PutId) -> BTreeMap<String, u64> {
        self.acknowledged += 1;
        if self.replaced.insert(("lease".to_string(), before), 0).is_some() {
            self.violated("one lease was taken twice".to_string());
        }
        // Whoever hears of it late may have lost it to another already.
        if !self.replaced.contains_key(&("lease".to_string(), Some(id))) {
            self.lease = Some(id);
        }
        self.batches.clone()
    }

    /// Whoever took the lease has looked at the journal.
    pub(super) fn opened(&mut self, id: PutId, mut batches: BTreeMap<String, u64>, found: Vec<String>) {
        // As long as nobody else has the lease, nothing is written but what was written before it was taken.
        if self.lease == Some(id) {
            batches.clone_from(&self.batches);
            self.found = Some((id, found.clone()));
        }
        for key in batches.into_keys().filter(|key| !found.contains(key)) {
            self.violated(format!(
                "{key} was acknowledged, and is not found by the next coordinator"
            ));
        }
    }

    /// A batch was appended under this lease.
    pub(super) fn appended(&mut self, key: &str, value: u64, lease: &PutId) {
        self.acknowledged += 1;
        if let Some(other) = self.batches.insert(key.to_string(), value) {
            self.violated(format!("both {other} and {value} are {key}"));
        }
        // If the lease was taken from it, it has written before that, and so the next coordinator has found it.
        if let Some((other, found)) = &self.found
            && self.lease.as_ref() == Some(other)
            && other != lease
            && !found.iter().any(|there| there == key)
        {
            self.violated(format!("{key} was acknowledged to whoever had the lease no more"));
        }
    }

    /// A coordinator hears this instead of that its batch is written.
    pub(super) fn holder_hears(&mut self, lease: &PutId, what: &str) {
        if self.lease.as_ref() == Some(lease) {
            self.violated(format!("whoever has the lease hears {what}"));
        }
    }

    /// What must be read by whoever begins to read now.
    pub(super) fn expected(&self, key: &str) -> Option<u64> {
        self.once.get(key).copied()
    }

    /// Everything that must be there.
    pub(super) fn all(&self) -> Vec<(String, u64)> {
        let all = self.once.iter().chain(&self.batches);
        all.map(|(key, value)| (key.clone(), *value)).collect()
    }

    /// A value was read that had been acknowledged before.
    pub(super) fn read(&mut self, key: &str, expected: Option<u64>, found: Option<u64>) {
        // Unless it was about to be deleted meanwhile.
        if let (Some(expected), true) = (expected, expected != found)
            && self.expected(key).or(self.batches.get(key).copied()) == Some(expected)
        {
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
