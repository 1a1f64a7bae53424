//! Who has started whom.

use nix::unistd::Pid;
use std::collections::BTreeMap;

/// All processes that this one has started, and those that they have, as far as they are still running.
pub(crate) fn below(process: u32) -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = parent_of(&entry.path().join("stat")) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![i32::try_from(process).expect("a process id")];
    while let Some(parent) = next.pop() {
        let started = children.remove(&parent).unwrap_or_default();
        found.extend(started.iter().copied().map(Pid::from_raw));
        next.extend(started);
    }
    found
}

/// The second field after the name, which stands in parentheses and may contain anything.
fn parent_of(stat: &std::path::Path) -> Option<i32> {
    let stat = std::fs::read_to_string(stat).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}
