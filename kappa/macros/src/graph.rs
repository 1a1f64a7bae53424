//! The control-flow graph of a task's body, and what is live where.
//!
//! Blocks exist only where a suspension point forces the code apart; an atom is a statement that stays as the user wrote it.

mod joins;
mod parts;
mod unneeded;

use crate::names::{Binding, Found, Moves, Names, Scope, Var, Vars};
use parts::Parts;
use proc_macro2::TokenStream;
pub(crate) use unneeded::Unneeded;

pub(crate) type BlockId = usize;

/// The block in which the function starts.
pub(crate) const ENTRY: BlockId = 0;

/// A statement that stays whole.
#[derive(Clone)]
pub(crate) struct Atom {
    pub(crate) code: TokenStream,
    pub(crate) found: Found,
    /// The variables whose `let` this is.
    pub(crate) declares: Vec<Var>,
    /// `let x;`: left out where nobody uses it, because its type could not be inferred there.
    pub(crate) deferred: bool,
    /// Here ends the scope of a temporary value that has got a name.
    pub(crate) ends: Option<Var>,
}

impl Atom {
    pub(crate) fn new(code: TokenStream, found: Found) -> Self {
        Atom {
            code,
            found,
            declares: Vec::new(),
            deferred: false,
            ends: None,
        }
    }
}

/// One way out of a `match`.
#[derive(Clone)]
pub(crate) struct Choice {
    pub(crate) pattern: TokenStream,
    pub(crate) guard: Option<TokenStream>,
    /// Of the guard.
    pub(crate) found: Found,
    pub(crate) binds: Vec<Var>,
    /// What the pattern does with the variable that is matched.
    pub(crate) effect: Option<(Var, Moves)>,
    pub(crate) target: BlockId,
}

impl Choice {
    /// `_ => target`
    pub(crate) fn otherwise(target: BlockId) -> Self {
        Choice {
            pattern: quote::quote!(_),
            guard: None,
            found: Found::default(),
            binds: Vec::new(),
            effect: None,
            target,
        }
    }
}

/// How a block ends.
#[derive(Clone)]
pub(crate) enum End {
    /// Not yet known, or never reached.
    Open,
    Jump(BlockId),
    /// `if condition { then } else { other }`; the condition may bind variables for `then`.
    Branch {
        condition: TokenStream,
        found: Found,
        binds: Vec<Var>,
        /// What the pattern does with the variable that is matched.
        effect: Option<(Var, Moves)>,
        then: BlockId,
        other: BlockId,
    },
    Match {
        scrutinee: TokenStream,
        found: Found,
        choices: Vec<Choice>,
    },
    /// `let pattern = value else { other }; next`.
    LetElse {
        pattern: TokenStream,
        value: TokenStream,
        found: Found,
        binds: Vec<Var>,
        /// What the pattern does with the variable that is matched.
        effect: Option<(Var, Moves)>,
        next: BlockId,
        other: BlockId,
    },
    /// Describes the operation and goes to its suspension point.
    Suspend {
        operation: TokenStream,
        found: Found,
        point: BlockId,
    },
    /// The suspension point itself. A block of its own: a task can be resumed here.
    Point {
        result: Var,
        next: BlockId,
        /// Not written by the user: `auto` put it there.
        auto: bool,
    },
    /// Its last atom never gets to its end.
    Stop,
}

#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) atoms: Vec<Atom>,
    pub(crate) end: End,
    /// What follows a construct: its code belongs behind the construct that starts in this block, so that scopes end where they should.
    pub(crate) after: Option<BlockId>,
    /// Its place in the source text, among the blocks.
    pub(crate) order: usize,
    /// The innermost scope that is open where it begins.
    pub(crate) scope: Scope,
    /// The block that this is a copy of, or itself.
    pub(crate) origin: BlockId,
}

impl Block {
    pub(crate) fn targets(&self) -> Vec<BlockId> {
        match &self.end {
            End::Open | End::Stop => vec![],
            End::Jump(target) => vec![*target],
            End::Branch { then, other, .. } => vec![*then, *other],
            End::Match { choices, .. } => choices.iter().map(|choice| choice.target).collect(),
            End::LetElse { next, other, .. } => vec![*next, *other],
            End::Suspend { point, .. } => vec![*point],
            End::Point { next, .. } => vec![*next],
        }
    }

    fn retarget(&mut self, map: impl Fn(BlockId) -> BlockId) {
        match &mut self.end {
            End::Open | End::Stop => {}
            End::Jump(target) => *target = map(*target),
            End::Branch { then, other, .. } => (*then, *other) = (map(*then), map(*other)),
            End::Match { choices, .. } => choices.iter_mut().for_each(|choice| choice.target = map(choice.target)),
            End::LetElse { next, other, .. } => (*next, *other) = (map(*next), map(*other)),
            End::Suspend { point, .. } => *point = map(*point),
            End::Point { next, .. } => *next = map(*next),
        }
    }

    /// What the end itself reads, and everything it mentions.
    pub(crate) fn end_found(&self) -> Found {
        match &self.end {
            End::Branch { found, .. } | End::LetElse { found, .. } | End::Suspend { found, .. } => found.clone(),
            End::Match { found, choices, .. } => choices
                .iter()
                .fold(found.clone(), |all, choice| all.and(choice.found.clone())),
            End::Open | End::Stop | End::Jump(_) | End::Point { .. } => Found::default(),
        }
    }

    /// The variables that the end declares on the way to a block.
    pub(crate) fn declared_for(&self, target: BlockId) -> Vec<Var> {
        match &self.end {
            End::Branch { binds, then, .. } if *then == target => binds.clone(),
            End::LetElse { binds, next, .. } if *next == target => binds.clone(),
            End::Match { choices, .. } => choices
                .iter()
                .filter(|choice| choice.target == target)
                .flat_map(|choice| choice.binds.clone())
                .collect(),
            End::Point { result, .. } => vec![*result],
            _ => vec![],
        }
    }

    /// For each way from here to a block what the pattern does with the variable that is matched.
    pub(crate) fn effects_on_the_ways_to(&self, target: BlockId) -> Vec<Option<(Var, Moves)>> {
        match &self.end {
            End::Branch {
                effect, then, other, ..
            }
            | End::LetElse {
                effect,
                next: then,
                other,
                ..
            } => {
                let ways = [(*then, *effect), (*other, None)];
                let ways = ways.into_iter().filter(|(to, _)| *to == target);
                ways.map(|(_, effect)| effect).collect()
            }
            End::Match { choices, .. } => choices
                .iter()
                .filter(|choice| choice.target == target)
                .map(|choice| choice.effect)
                .collect(),
            _ => vec![],
        }
    }

    /// The variables that the end declares.
    pub(crate) fn end_declares(&self) -> Vec<Var> {
        match &self.end {
            End::Branch { binds, .. } | End::LetElse { binds, .. } => binds.clone(),
            End::Match { choices, .. } => choices.iter().flat_map(|choice| choice.binds.clone()).collect(),
            End::Point { result, .. } => vec![*result],
            End::Open | End::Stop | End::Jump(_) | End::Suspend { .. } => vec![],
        }
    }
}

/// The graph, cleaned up, with everything that code generation asks about it.
pub(crate) struct Graph {
    pub(crate) blocks: Vec<Block>,
    /// The blocks that can be reached, in the order of the source text.
    pub(crate) reachable: Vec<BlockId>,
    pub(crate) live_in: Vec<Vars>,
    /// The immediate dominator; `None` for the blocks in which control can come from outside: the entry, the suspension points, and
    /// what can be reached from more than one of those.
    pub(crate) dominator: Vec<Option<BlockId>>,
    /// For each block the variables in scope whose values nobody needs there: those that are still there, and those that may be.
    pub(crate) unneeded: Vec<Unneeded>,
    /// The fields that have been moved or copied at the end of each block.
    pub(crate) parts: Vec<Parts>,
}

impl Graph {
    pub(crate) fn new(mut blocks: Vec<Block>, names: &Names, parameters: &[Var]) -> Self {
        skip_empty(&mut blocks);
        let most = joins::most(&blocks);
        let mut graph = Graph::of(blocks, names, parameters);
        while let Some(blocks) = joins::separate(&graph, names, most) {
            graph = Graph::of(blocks, names, parameters);
        }
        graph
    }

    fn of(blocks: Vec<Block>, names: &Names, parameters: &[Var]) -> Self {
        let bindings = &names.bindings;
        let reverse_postorder = reverse_postorder(&blocks);
        let mut reachable = reverse_postorder.clone();
        reachable.sort_by_key(|&block| blocks[block].order);
        let mut live_in = liveness(&blocks, &reverse_postorder, bindings);
        forget_unassigned(&blocks, &reverse_postorder, &mut live_in);
        let dominator = dominators(&blocks, &reverse_postorder);
        let unneeded = unneeded::find(&blocks, &reverse_postorder, names, &live_in, &dominator, parameters);
        let parts = parts::find(&blocks, &reverse_postorder);
        Graph {
            blocks,
            reachable,
            live_in,
            dominator,
            unneeded,
            parts,
        }
    }

    /// The block at which the code that holds this block is entered.
    pub(crate) fn root(&self, mut block: BlockId) -> BlockId {
        while let Some(dominator) = self.dominator[block] {
            block = dominator;
        }
        block
    }

    pub(crate) fn dominates(&self, upper: BlockId, mut lower: BlockId) -> bool {
        loop {
            if upper == lower {
                return true;
            }
            match self.dominator[lower] {
                Some(dominator) => lower = dominator,
                None => return false,
            }
        }
    }

    /// The nearest block above this one that is `upper` or a copy of it.
    pub(crate) fn dominating_copy(&self, upper: BlockId, mut lower: BlockId) -> Option<BlockId> {
        while let Some(dominator) = self.dominator[lower] {
            lower = dominator;
            if self.blocks[lower].origin == self.blocks[upper].origin {
                return Some(lower);
            }
        }
        None
    }

    pub(crate) fn predecessors(&self, block: BlockId) -> Vec<BlockId> {
        self.reachable
            .iter()
            .copied()
            .filter(|&other| self.blocks[other].targets().contains(&block))
            .collect()
    }
}

/// Jumps to a block that does nothing but jump go to its target at once.
///
/// A block in which a construct starts stays, because what follows the construct is placed behind it.
fn skip_empty(blocks: &mut [Block]) {
    let starts: std::collections::BTreeSet<BlockId> = blocks.iter().filter_map(|block| block.after).collect();
    let forward: Vec<BlockId> = (0..blocks.len())
        .map(|start| {
            let mut at = start;
            for _ in 0..blocks.len() {
                match &blocks[at] {
                    Block {
                        atoms,
                        end: End::Jump(target),
                        ..
                    } if atoms.is_empty() && *target != at && !starts.contains(&at) => {
                        at = *target;
                    }
                    _ => return at,
                }
            }
            start
        })
        .collect();
    for block in blocks.iter_mut() {
        block.retarget(|target| forward[target]);
    }
}

fn reverse_postorder(blocks: &[Block]) -> Vec<BlockId> {
    let mut seen = vec![false; blocks.len()];
    let mut order = Vec::new();
    let mut stack = vec![(ENTRY, blocks[ENTRY].targets())];
    seen[ENTRY] = true;
    while let Some((block, targets)) = stack.last_mut() {
        match targets.pop() {
            Some(target) if !seen[target] => {
                seen[target] = true;
                stack.push((target, blocks[target].targets()));
            }
            Some(_) => {}
            None => {
                order.push(*block);
                stack.pop();
            }
        }
    }
    order.reverse();
    order
}

/// Backward data flow to a fixpoint: loops may run any number of times, `break` and `continue` are edges like all others.
fn liveness(blocks: &[Block], order: &[BlockId], bindings: &[Binding]) -> Vec<Vars> {
    let mut live_in = vec![Vars::new(); blocks.len()];
    loop {
        let mut changed = false;
        for &id in order.iter().rev() {
            let block = &blocks[id];
            let mut live = Vars::new();
            match &block.end {
                End::Open | End::Stop => {}
                End::Jump(target) => live.extend(&live_in[*target]),
                End::Branch {
                    found,
                    binds,
                    then,
                    other,
                    ..
                }
                | End::LetElse {
                    found,
                    binds,
                    next: then,
                    other,
                    ..
                } => {
                    live.extend(&live_in[*then]);
                    binds.iter().for_each(|var| _ = live.remove(var));
                    live.extend(&live_in[*other]);
                    live.extend(&found.uses);
                }
                End::Match { found, choices, .. } => {
                    for choice in choices {
                        let mut taken = live_in[choice.target].clone();
                        taken.extend(&choice.found.uses);
                        choice.binds.iter().for_each(|var| _ = taken.remove(var));
                        live.extend(&taken);
                    }
                    live.extend(&found.uses);
                }
                End::Suspend { found, point, .. } => {
                    live.extend(&live_in[*point]);
                    live.extend(&found.uses);
                }
                End::Point { result, next, .. } => {
                    live.extend(&live_in[*next]);
                    live.remove(result);
                    // What is rebuilt after a resume needs what it is made of, which may be rebuilt itself.
                    let mut pending: Vec<Var> = live.iter().copied().collect();
                    while let Some(var) = pending.pop() {
                        if let Some((_, made_of)) = &bindings[var].shared {
                            pending.extend(made_of.iter().filter(|&&part| live.insert(part)));
                        }
                    }
                }
            }
            for atom in block.atoms.iter().rev() {
                for var in atom.found.assigned.iter().chain(&atom.declares) {
                    live.remove(var);
                }
                live.extend(&atom.found.uses);
            }
            if live != live_in[id] {
                live_in[id] = live;
                changed = true;
            }
        }
        if !changed {
            return live_in;
        }
    }
}

/// A variable declared by `let x;` holds nothing before some code on the way has mentioned it, so it is not live there. Liveness alone would say so
/// only if it saw an assignment on every way on.
fn forget_unassigned(blocks: &[Block], order: &[BlockId], live_in: &mut [Vars]) {
    let atoms = || order.iter().flat_map(|&block| &blocks[block].atoms);
    let deferred: Vars = atoms()
        .filter(|atom| atom.deferred)
        .flat_map(|atom| atom.declares.clone())
        .collect();
    let mut mentioned = vec![Vars::new(); blocks.len()];
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for &id in order {
            let mut here = mentioned[id].clone();
            for atom in &blocks[id].atoms {
                if atom.deferred {
                    here.retain(|var| !atom.declares.contains(var));
                }
                here.extend(&atom.found.mentions);
                here.extend(&atom.found.assigned);
            }
            here.extend(blocks[id].end_found().mentions);
            here.retain(|var| deferred.contains(var));
            for target in blocks[id].targets() {
                let before = mentioned[target].len();
                mentioned[target].extend(&here);
                changed |= mentioned[target].len() > before;
            }
        }
    }
    for &id in order {
        live_in[id].retain(|var| !deferred.contains(var) || mentioned[id].contains(var));
    }
}

/// Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm", over the graph with one more block (here `usize::MAX`) from which the entry and
/// every suspension point are entered.
fn dominators(blocks: &[Block], order: &[BlockId]) -> Vec<Option<BlockId>> {
    const OUTSIDE: BlockId = usize::MAX;
    let mut position = vec![usize::MAX; blocks.len()];
    order
        .iter()
        .enumerate()
        .for_each(|(at, &block)| position[block] = at + 1);
    let position = |block: BlockId| if block == OUTSIDE { 0 } else { position[block] };
    let mut predecessors = vec![Vec::new(); blocks.len()];
    for &block in order {
        if block == ENTRY || matches!(blocks[block].end, End::Point { .. }) {
            predecessors[block].push(OUTSIDE);
        }
        for target in blocks[block].targets() {
            predecessors[target].push(block);
        }
    }
    let mut dominator: Vec<Option<BlockId>> = vec![None; blocks.len()];
    let meet = |dominator: &[Option<BlockId>], mut a: BlockId, mut b: BlockId| {
        while a != b {
            let later = if position(a) > position(b) { &mut a } else { &mut b };
            *later = dominator[*later].unwrap_or(OUTSIDE);
        }
        a
    };
    loop {
        let mut changed = false;
        for &block in order {
            let mut new = None;
            for &predecessor in &predecessors[block] {
                if predecessor == OUTSIDE || dominator[predecessor].is_some() {
                    new = Some(new.map_or(predecessor, |other| meet(&dominator, other, predecessor)));
                }
            }
            if new != dominator[block] {
                dominator[block] = new;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    dominator
        .into_iter()
        .map(|found| found.filter(|&block| block != OUTSIDE))
        .collect()
}
