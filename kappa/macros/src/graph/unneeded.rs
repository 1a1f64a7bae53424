//! Which variables hold values that nobody needs any more, but whose scope goes on: their destructors run at its end.
//!
//! Forward data flow: of each variable it is known whether it has its value, has none, or may have one.

use super::{Block, BlockId, ENTRY, End};
use crate::names::{Names, Var, Vars};
use std::collections::BTreeMap;

/// The variables in scope at the beginning of a block whose values nobody needs there.
#[derive(Clone, Default)]
pub(crate) struct Unneeded {
    /// They have their values.
    pub(crate) whole: Vars,
    /// They may have been moved, or a part of them.
    pub(crate) unclear: Vars,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Gone,
    Unclear,
}

type States = BTreeMap<Var, State>;

fn pass(states: &mut States, found: &crate::names::Found) {
    for &var in &found.unclear {
        if states.get(&var) == Some(&State::Whole) {
            states.insert(var, State::Unclear);
        }
    }
    for &var in &found.moved {
        states.insert(var, State::Gone);
    }
    for &var in &found.changed {
        if states.get(&var) == Some(&State::Gone) {
            states.insert(var, State::Unclear);
        }
    }
    for &var in &found.assigned {
        states.insert(var, State::Whole);
    }
}

fn behind(block: &Block, mut states: States) -> States {
    for atom in &block.atoms {
        pass(&mut states, &atom.found);
        for &var in &atom.declares {
            states.insert(var, if atom.deferred { State::Gone } else { State::Whole });
        }
    }
    pass(&mut states, &block.end_found());
    states
}

/// Adds what is known on one way into a block.
fn join(into: &mut Option<States>, from: &States) -> bool {
    let Some(states) = into else {
        *into = Some(from.clone());
        return true;
    };
    let mut changed = false;
    for (&var, &state) in from {
        let new = match states.get(&var) {
            Some(&old) if old == state => continue,
            Some(State::Unclear) => continue,
            Some(_) => State::Unclear,
            // Not declared yet on another way: it is not in scope where the ways meet.
            None => state,
        };
        states.insert(var, new);
        changed = true;
    }
    changed
}

pub(super) fn find(
    blocks: &[Block],
    order: &[BlockId],
    names: &Names,
    live_in: &[Vars],
    parameters: &[Var],
) -> Vec<Unneeded> {
    let mut states: Vec<Option<States>> = vec![None; blocks.len()];
    states[ENTRY] = Some(parameters.iter().map(|&var| (var, State::Whole)).collect());
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for &id in order {
            let Some(here) = states[id].clone() else { continue };
            let after = behind(&blocks[id], here);
            let mut targets = blocks[id].targets();
            targets.sort_unstable();
            targets.dedup();
            for target in targets {
                let mut there = after.clone();
                if !matches!(blocks[id].end, End::Point { .. }) {
                    there.extend(
                        blocks[id]
                            .declared_for(target)
                            .into_iter()
                            .map(|var| (var, State::Whole)),
                    );
                }
                // Another pass of a loop declares its variables anew.
                there.retain(|&var, _| names.encloses(names.bindings[var].scope, blocks[target].scope));
                changed |= join(&mut states[target], &there);
            }
        }
    }
    let unneeded_at = |id: BlockId| {
        let mut unneeded = Unneeded::default();
        for (&var, state) in states[id].iter().flatten() {
            let binding = &names.bindings[var];
            if binding.temporary || binding.shared.is_some() || live_in[id].contains(&var) {
                continue;
            }
            match state {
                State::Whole => unneeded.whole.insert(var),
                State::Unclear => unneeded.unclear.insert(var),
                State::Gone => false,
            };
        }
        unneeded
    };
    (0..blocks.len()).map(unneeded_at).collect()
}
