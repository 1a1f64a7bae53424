//! Where two arms meet and something is live that cannot go through a slot: the code behind is written once for each of them.
//!
//! ```text
//! let r = if n > 2 { cx.checkpoint().await; &v[0] } else { &v[1] };
//! *r
//! ```
//!
//! One arm begins at the entry, one at the suspension point, and `*r` can be reached from both. If it were an arm of its own, `v` would move into its slot
//! while `r` borrows it.

use super::{Block, BlockId, ENTRY, End, Graph};
use crate::names::{Names, Var, Vars};
use std::collections::{BTreeMap, BTreeSet};

/// The code may become so many times as long.
const MOST: usize = 4;

/// Copies the code behind such joins; gives the blocks, and whether there was one.
pub(super) fn separate(graph: &Graph, names: &Names, most: usize) -> Option<Vec<Block>> {
    let at_points = graph
        .reachable
        .iter()
        .filter(|&&block| matches!(graph.blocks[block].end, End::Point { .. }));
    let saved: Vars = at_points.flat_map(|&point| graph.live_in[point].clone()).collect();
    let cannot_move = |var: &Var| names.bindings[*var].lent && !saved.contains(var);
    let joins = graph.reachable.iter().copied().filter(|&block| {
        graph.dominator[block].is_none()
            && block != ENTRY
            && !matches!(graph.blocks[block].end, End::Point { .. })
            && graph.live_in[block].iter().any(cannot_move)
    });
    for join in joins {
        let inside: Vec<BlockId> = graph
            .reachable
            .iter()
            .copied()
            .filter(|&block| graph.root(block) == join)
            .collect();
        let predecessors = graph.predecessors(join);
        let arms: BTreeSet<BlockId> = predecessors.iter().map(|&block| graph.root(block)).collect();
        // Something goes back to it.
        if arms.contains(&join) || graph.blocks.len() + inside.len() * (arms.len() - 1) > most {
            continue;
        }
        let mut blocks = graph.blocks.clone();
        for &arm in arms.iter().skip(1) {
            let copies: BTreeMap<BlockId, BlockId> = inside.iter().copied().zip(blocks.len()..).collect();
            let copy_of = |block: BlockId| copies.get(&block).copied().unwrap_or(block);
            for &block in &inside {
                let mut copy = graph.blocks[block].clone();
                copy.retarget(copy_of);
                copy.after = copy.after.map(copy_of);
                blocks.push(copy);
            }
            for &block in predecessors.iter().filter(|&&block| graph.root(block) == arm) {
                blocks[block].retarget(|target| if target == join { copy_of(join) } else { target });
            }
        }
        return Some(blocks);
    }
    None
}

/// How many blocks there may be.
pub(super) fn most(blocks: &[Block]) -> usize {
    blocks.len() * MOST + 16
}
