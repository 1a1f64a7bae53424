//! Which variables hold values that nobody needs any more, but whose scope goes on: their destructors run at its end.
//!
//! Forward data flow: of each variable it is known whether it has its value, has none, or may have one.

use super::{Block, BlockId, ENTRY};
use crate::names::{Moves, Names, Var, Vars};
use std::collections::{BTreeMap, BTreeSet};

/// The variables in scope at the beginning of a block whose values nobody needs there.
#[derive(Clone, Default)]
pub(crate) struct Unneeded {
    /// They have their values.
    pub(crate) whole: Vars,
    /// They may have been moved, or a part of them.
    pub(crate) unclear: Vars,
    /// They have been taken apart: nothing is left if their types have no destructors of their own.
    pub(crate) taken: Vars,
    /// What is behind them has been moved: nothing is left if they are of the type `Box`.
    pub(crate) emptied: Vars,
    /// A method has taken them: nothing is left if their types are `std`'s.
    pub(crate) received: Vars,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Gone,
    Taken,
    Emptied,
    Received,
    Unclear,
}

impl State {
    /// One or the other.
    fn or(self, other: State) -> State {
        use State::{Emptied, Gone, Received, Taken, Unclear};
        match (self, other) {
            (one, same) if one == same => one,
            (Gone, Taken) | (Taken, Gone) => Taken,
            (Gone, Emptied) | (Emptied, Gone) => Emptied,
            (Gone, Received) | (Received, Gone) => Received,
            _ => Unclear,
        }
    }

    fn moved(self, moves: Moves) -> State {
        match (self, moves) {
            (State::Gone, _) => State::Gone,
            (state, Moves::Nothing) => state,
            (_, Moves::Whole) => State::Gone,
            (State::Whole, Moves::Parts) => State::Taken,
            _ => State::Unclear,
        }
    }
}

type States = BTreeMap<Var, State>;

fn pass(states: &mut States, found: &crate::names::Found) {
    for &var in &found.unclear {
        if states.get(&var) == Some(&State::Whole) {
            states.insert(var, State::Unclear);
        }
    }
    let perhaps = [
        (&found.taken, State::Taken),
        (&found.emptied, State::Emptied),
        (&found.received, State::Received),
    ];
    for (vars, state) in perhaps {
        for &var in vars {
            let state = match states.get(&var) {
                Some(State::Whole) => state,
                Some(State::Gone) | None => State::Gone,
                Some(_) => State::Unclear,
            };
            states.insert(var, state);
        }
    }
    for &var in &found.moved {
        states.insert(var, State::Gone);
    }
    for &var in &found.changed {
        if states.get(&var).is_some_and(|&state| state != State::Whole) {
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
        if let Some(var) = atom.ends {
            states.insert(var, State::Gone);
        }
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
            Some(&old) if old.or(state) == old => continue,
            Some(old) => old.or(state),
            // Not declared yet on another way: it is not in scope where the ways meet.
            None => state,
        };
        states.insert(var, new);
        changed = true;
    }
    changed
}

/// For each variable the blocks that may replace its value in a way that nobody can follow: perhaps, or in the middle of something else. The old
/// value would have to be dropped there.
fn replaced(blocks: &[Block], order: &[BlockId], dominator: &[Option<BlockId>]) -> BTreeMap<Var, BTreeSet<BlockId>> {
    let mut replaced: BTreeMap<Var, BTreeSet<BlockId>> = BTreeMap::new();
    for &id in order {
        let is_followed = is_followed(blocks, dominator, id);
        let mut vars = blocks[id].end_found().changed;
        for atom in &blocks[id].atoms {
            vars.extend(if is_followed {
                &atom.found.inside
            } else {
                &atom.found.changed
            });
        }
        for var in vars {
            replaced.entry(var).or_default().insert(id);
        }
    }
    replaced
}

/// Whether it is known, wherever its code goes on before the next suspension point, that control has come through a block.
fn is_followed(blocks: &[Block], dominator: &[Option<BlockId>], id: BlockId) -> bool {
    let is_below = |mut lower: BlockId| loop {
        match dominator[lower] {
            _ if lower == id => return true,
            Some(upper) => lower = upper,
            None => return false,
        }
    };
    let mut seen = BTreeSet::new();
    let mut pending = blocks[id].targets();
    while let Some(at) = pending.pop() {
        // Other roots begin with what is held.
        if dominator[at].is_none() || !seen.insert(at) {
            continue;
        }
        if !is_below(at) {
            return false;
        }
        pending.extend(blocks[at].targets());
    }
    true
}

/// Whether control can get from one block to one of others while a variable is in scope.
fn gets_to(blocks: &[Block], names: &Names, var: Var, from: BlockId, to: &BTreeSet<BlockId>) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut pending = vec![from];
    while let Some(id) = pending.pop() {
        if to.contains(&id) {
            return true;
        }
        let mut is_new =
            |target: &BlockId| names.encloses(names.bindings[var].scope, blocks[*target].scope) && seen.insert(*target);
        pending.extend(blocks[id].targets().into_iter().filter(&mut is_new));
    }
    false
}

pub(super) fn find(
    blocks: &[Block],
    order: &[BlockId],
    names: &Names,
    live_in: &[Vars],
    dominator: &[Option<BlockId>],
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
                let ways = blocks[id].effects_on_the_ways_to(target);
                for var in ways.iter().flatten().map(|&(var, _)| var).collect::<Vars>() {
                    let before = after.get(&var).copied().unwrap_or(State::Gone);
                    let states = ways.iter().map(|way| match way {
                        Some((of, moves)) if *of == var => before.moved(*moves),
                        _ => before,
                    });
                    if let Some(state) = states.reduce(State::or) {
                        there.insert(var, state);
                    }
                }
                let declared = blocks[id].declared_for(target).into_iter();
                there.extend(declared.map(|var| (var, State::Whole)));
                // Another pass of a loop declares its variables anew.
                there.retain(|&var, _| names.encloses(names.bindings[var].scope, blocks[target].scope));
                changed |= join(&mut states[target], &there);
            }
        }
    }
    let replaced = replaced(blocks, order, dominator);
    let is_replaced = |id: BlockId, var: Var| {
        let by = replaced.get(&var);
        by.is_some_and(|by| gets_to(blocks, names, var, id, by))
    };
    let unneeded_at = |id: BlockId| {
        let mut unneeded = Unneeded::default();
        // Control comes from outside only here.
        if dominator[id].is_some() {
            return unneeded;
        }
        for (&var, state) in states[id].iter().flatten() {
            let binding = &names.bindings[var];
            if binding.shared.is_some() || binding.plain || live_in[id].contains(&var) {
                continue;
            }
            match state {
                State::Whole if is_replaced(id, var) => unneeded.unclear.insert(var),
                State::Whole => unneeded.whole.insert(var),
                State::Unclear => unneeded.unclear.insert(var),
                State::Taken => unneeded.taken.insert(var),
                State::Emptied => unneeded.emptied.insert(var),
                State::Received => unneeded.received.insert(var),
                State::Gone => false,
            };
        }
        unneeded
    };
    (0..blocks.len()).map(unneeded_at).collect()
}
