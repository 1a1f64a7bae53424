//! Which fields have been moved out of a variable that must be whole to go into its slot.

use super::{Block, BlockId};
use crate::names::{Part, Var};
use proc_macro2::TokenStream;
use std::collections::BTreeMap;

/// The fields that have been moved or copied, with the code that means them.
pub(crate) type Parts = BTreeMap<(Var, String), TokenStream>;

/// The fields that have been moved or copied at the end of each block, and not assigned since, on some way there.
pub(super) fn find(blocks: &[Block], order: &[BlockId]) -> Vec<Parts> {
    let mut at_start: Vec<Parts> = vec![Parts::new(); blocks.len()];
    let mut at_end = at_start.clone();
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for &id in order {
            let block = &blocks[id];
            let mut parts = at_start[id].clone();
            for atom in &block.atoms {
                pass(&mut parts, &atom.found.parts);
                parts.retain(|(var, _), _| !atom.declares.contains(var) && !atom.found.assigned.contains(var));
            }
            pass(&mut parts, &block.end_found().parts);
            let declared = block.end_declares();
            parts.retain(|(var, _), _| !declared.contains(var));
            for target in block.targets() {
                let before = at_start[target].len();
                at_start[target].extend(parts.clone());
                changed |= at_start[target].len() > before;
            }
            at_end[id] = parts;
        }
    }
    at_end
}

fn pass(parts: &mut Parts, found: &[Part]) {
    for part in found {
        match part {
            Part::Taken(var, place, code) => _ = parts.insert((*var, place.clone()), code.clone()),
            Part::Assigned(var, place) => parts.retain(|(other, taken), _| other != var || !taken.starts_with(place)),
        }
    }
}
