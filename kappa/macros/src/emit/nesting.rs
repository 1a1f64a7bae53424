//! The code of one arm: a block, what stands behind its end, and everything that it dominates, as plain structured code.

use super::{Emitter, Item, Place, here};
use crate::graph::{BlockId, End};
use crate::names::Var;
use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

impl Emitter<'_> {
    /// The code of a block and of everything that is placed inside it; `before` comes first.
    ///
    /// Behind the block come those that it hosts, the innermost first, each behind a labelled block that it is reached from. Such a labelled block
    /// begins before the first variable whose scope has ended where the hosted block begins.
    pub(super) fn node(&self, id: BlockId, place: &Place, before: Vec<Item>) -> TokenStream {
        let block = &self.graph.blocks[id];
        let is_loop = self.loops.contains(&id) && !matches!(block.end, End::Point { .. });
        let mut atoms = Vec::new();
        let pieces = before
            .iter()
            .filter_map(|item| Some((*item.takes.first()?, *item.takes.last()?)));
        let pieces: Vec<(Var, Var)> = place.pieces.iter().copied().chain(pieces).collect();
        for atom in &block.atoms {
            let is_used = |var: &Var| place.used.contains(var) || self.witnessed.contains(var);
            if atom.deferred && !atom.declares.iter().any(is_used) {
                continue;
            }
            let (code, declared) = (&atom.code, self.declared(&atom.declares));
            // The value that an assignment replaces is dropped by it.
            let old = &self.graph.unneeded[place.root].whole;
            let replaced = atom.found.assigned.intersection(old).map(|&var| {
                let held = self.held_in(var, &pieces);
                let number = var as u32;
                quote!(#held.end(#number);)
            });
            let ended = atom.ends.map(|var| {
                let is_declared = || atoms.iter().any(|item: &Item| item.declares.contains(&var));
                if old.contains(&var) {
                    let held = self.held_in(var, &pieces);
                    let number = var as u32;
                    quote!(#held.end(#number);)
                } else if place.visible.contains(&var)
                    || is_declared()
                    || before.iter().any(|item| item.declares.contains(&var))
                {
                    let ident = &self.bindings[var].ident;
                    quote!(::core::mem::drop(#ident);)
                } else {
                    TokenStream::new()
                }
            });
            atoms.push(Item {
                code: quote!(#code #declared #(#replaced)* #ended),
                declares: atom.declares.clone(),
                takes: Vec::new(),
                assigns: atom.found.assigned.clone(),
            });
        }
        let mut hosted: Vec<BlockId> = self
            .hosts
            .iter()
            .filter(|&(_, &host)| host == id)
            .map(|(&block, _)| block)
            .collect();
        hosted.sort_by_key(|&block| self.graph.blocks[block].order);
        if is_loop {
            // What the head declares is not visible behind the loop.
            let sees = |block| {
                let mut declared = atoms.iter().flat_map(|item: &Item| &item.declares);
                declared.any(|&var| self.in_scope(var, block))
            };
            let (inside, behind): (Vec<_>, Vec<_>) = hosted
                .into_iter()
                .partition(|&block| sees(block) || self.is_in_loop(id, block));
            self.wrapped(place, before, &behind, |place| {
                let mut place = place.clone();
                place.continues.insert(id);
                let code = self.wrapped(&place, atoms, &inside, |place| self.end(id, place));
                let label = self.label("loop", id);
                quote_spanned!(here()=> let __never: ::core::convert::Infallible = #label: loop { #code };)
            })
        } else {
            let items = before.into_iter().chain(atoms).collect();
            self.wrapped(place, items, &hosted, |place| self.end(id, place))
        }
    }

    /// Where the value of a variable is that is held.
    fn held_in(&self, var: Var, pieces: &[(Var, Var)]) -> Ident {
        let piece = pieces.iter().find(|(first, last)| (first..=last).contains(&&var));
        piece.map_or_else(|| self.held(), |&(first, _)| self.piece(first))
    }

    /// The items and what is inside, followed by the hosted blocks.
    fn wrapped(
        &self,
        place: &Place,
        items: Vec<Item>,
        hosted: &[BlockId],
        inside: impl FnOnce(&Place) -> TokenStream,
    ) -> TokenStream {
        // Where the labelled block begins that each hosted block stands behind.
        let mut starts = Vec::new();
        let mut latest = items.len();
        for &block in hosted {
            let ended = |item: &Item| {
                let mut vars = item.declares.iter().chain(&item.takes);
                vars.any(|&var| !self.in_scope(var, block))
            };
            latest = items.iter().position(ended).unwrap_or(items.len()).min(latest);
            starts.push(latest);
        }
        let place_after = |count: usize, inner: usize| {
            let mut place = place.clone();
            let declared = items[..count].iter().flat_map(|item| &item.declares);
            for &var in declared {
                place.visible.insert(var);
                place.declared.insert(var);
            }
            let pieces = items[..count]
                .iter()
                .filter_map(|item| Some((*item.takes.first()?, *item.takes.last()?)));
            place.pieces.extend(pieces);
            place
                .assigned
                .extend(items[..count].iter().flat_map(|item| &item.assigns));
            place.breaks.extend(&hosted[inner..]);
            place
        };
        let codes = |from: usize, to: usize| {
            items[from..to]
                .iter()
                .map(|item| item.code.clone())
                .collect::<TokenStream>()
        };
        let mut code = inside(&place_after(items.len(), 0));
        let mut end = items.len();
        for (at, (&block, &start)) in hosted.iter().zip(&starts).enumerate() {
            let label = self.label("after", block);
            let between = codes(start, end);
            let behind = self.node(block, &place_after(start, at + 1), Vec::new());
            code = quote!(#label: { #between #code } #behind);
            end = start;
        }
        let between = codes(0, end);
        quote!(#between #code)
    }

    /// Whether control gets from a block back to the head of a loop without leaving the arm.
    fn is_in_loop(&self, head: BlockId, block: BlockId) -> bool {
        let root = self.graph.root(head);
        let mut seen = std::collections::BTreeSet::from([block]);
        let mut pending = vec![block];
        while let Some(at) = pending.pop() {
            for target in self.graph.blocks[at].targets() {
                if target == head {
                    return true;
                }
                if !self.arms.contains_key(&target) && self.graph.root(target) == root && seen.insert(target) {
                    pending.push(target);
                }
            }
        }
        false
    }

    fn end(&self, id: BlockId, place: &Place) -> TokenStream {
        let place = &Place {
            at: id,
            ..place.clone()
        };
        match &self.graph.blocks[id].end {
            End::Open => TokenStream::new(),
            End::Stop => TokenStream::new(),
            End::Jump(target) | End::Point { next: target, .. } => self.jump(*target, place, &[]),
            End::Branch {
                condition,
                binds,
                then,
                other,
                ..
            } => {
                let then = self.jump(*then, place, binds);
                let other = self.jump(*other, place, &[]);
                quote!(if #condition { #then } else { #other })
            }
            End::Match { scrutinee, choices, .. } => {
                let choices = choices.iter().map(|choice| {
                    let pattern = &choice.pattern;
                    let guard = choice.guard.as_ref().map(|guard| quote!(if #guard));
                    let code = self.jump(choice.target, place, &choice.binds);
                    // A variable that only the guard uses is not unused.
                    let binds = choice.binds.iter().map(|&var| &self.bindings[var].ident);
                    let used = guard.as_ref().map(|_| quote!(#(_ = &#binds;)*));
                    quote!(#pattern #guard => { #used #code })
                });
                quote!(match #scrutinee { #(#choices)* })
            }
            End::LetElse {
                pattern,
                value,
                binds,
                next,
                other,
                ..
            } => {
                let other = self.jump(*other, place, &[]);
                let next = self.jump(*next, place, binds);
                quote!(let #pattern = #value else { #other }; #next)
            }
            End::Suspend { operation, point, .. } => {
                let pending = self.pending(*point);
                let jump = self.leave(*point, place);
                quote!(#pending.begin(#operation); #jump)
            }
        }
    }

    /// Goes to a block; `binds` are the variables that have just been bound on this way.
    fn jump(&self, target: BlockId, place: &Place, binds: &[Var]) -> TokenStream {
        let mut place = place.clone();
        place.visible.extend(binds);
        place.declared.extend(binds);
        let declared = self.declared(binds);
        let code = self.jump_from(target, &place);
        quote!(#declared #code)
    }

    fn jump_from(&self, target: BlockId, place: &Place) -> TokenStream {
        if place.breaks.contains(&target) {
            let label = self.label("after", target);
            return quote!(break #label;);
        }
        // Going back inside the arm is possible only if none of the variables that are needed there has been declared anew since.
        if place.continues.contains(&target)
            && (target != place.root || self.graph.live_in[target].is_disjoint(&place.declared))
        {
            let label = self.label("loop", target);
            return quote!(continue #label;);
        }
        if self.arms.contains_key(&target) {
            return self.leave(target, place);
        }
        if self.hosts.contains_key(&target) || place.continues.contains(&target) {
            return quote!(::core::compile_error!("kappa: this control flow is not supported; please report it"););
        }
        self.node(target, place, Vec::new())
    }

    /// Goes to another arm: the variables that are live there go into their slots.
    fn leave(&self, arm: BlockId, place: &Place) -> TokenStream {
        let live = &self.graph.live_in[arm];
        // A variable that has been moved is used at the suspension point, not where it is declared.
        let used_at = match self.graph.blocks[arm].end {
            End::Point {
                result, auto: false, ..
            } => Some(self.bindings[result].ident.span()),
            _ => None,
        };
        let put = live.intersection(&place.visible).map(|&var| {
            let (slot, mut variable) = (self.slot(var), self.variable(var));
            if let Some(span) = used_at.filter(|_| !self.shadowed.contains(&var)) {
                let mut ident = self.bindings[var].ident.clone();
                ident.set_span(span.resolved_at(ident.span()));
                variable = quote!(#ident);
            }
            quote!(#slot = ::core::option::Option::Some(#variable);)
        });
        let unneeded = &self.graph.unneeded[arm];
        let held = self.held();
        let goes_on = place.pieces.iter().filter(|&&(first, _)| self.in_scope(first, arm));
        let put_back = goes_on.map(|&(first, _)| {
            let piece = self.piece(first);
            quote!(#held.put_back(#piece);)
        });
        // What is not needed any more is held if its scope goes on.
        let held_at_root = &self.graph.unneeded[place.root].whole;
        let is_here =
            |var: &Var| place.visible.contains(var) && (!held_at_root.contains(var) || place.assigned.contains(var));
        let here_or_in_slot = |var: &Var| is_here(var) || self.graph.live_in[place.root].contains(var);
        // The last declared first: it may borrow an earlier one.
        let hold = unneeded
            .whole
            .iter()
            .rev()
            .filter(|var| here_or_in_slot(var))
            .map(|&var| {
                let (slot, variable, witness) = (self.slot(var), self.variable(var), self.witness(var));
                let value = match place.visible.contains(&var) {
                    true => variable,
                    false => quote!(::kappa::__private::take(&mut #slot)),
                };
                let number = var as u32;
                let span = self.bindings[var].ident.span().resolved_at(here());
                quote_spanned!(span=> (&&&&&&&&#witness.probe()).kind().hold(#value, #number, &mut #held);)
            });
        let unclear = unneeded
            .unclear
            .iter()
            .filter(|&&var| self.refused.borrow_mut().insert(var))
            .map(|&var| {
                let witness = self.witness(var);
                let span = self.bindings[var].ident.span().resolved_at(here());
                quote_spanned! {span=>
                    (&&&&&&&&#witness.probe())
                        .kind()
                        .unclear(&#witness.probe(), const { ::kappa::__private::held::Unclear::new() });
                }
            });
        let taken = unneeded
            .taken
            .iter()
            .filter(|&&var| self.refused_if_taken.borrow_mut().insert(var))
            .map(|&var| {
                let (witness, span) = (self.witness(var), self.bindings[var].ident.span().resolved_at(here()));
                quote_spanned!(span=> (&&&&&&&&#witness.probe()).kind().taken(&#witness.probe());)
            });
        let emptied = unneeded
            .emptied
            .iter()
            .filter(|&&var| self.refused_if_emptied.borrow_mut().insert(var))
            .map(|&var| {
                let (witness, span) = (self.witness(var), self.bindings[var].ident.span().resolved_at(here()));
                quote_spanned! {span=>
                    (&&&#witness.content())
                        .emptied()
                        .left(&#witness.content(), const { ::kappa::__private::held::Unclear::new() });
                }
            });
        let received = unneeded
            .received
            .iter()
            .filter(|&&var| self.refused_if_received.borrow_mut().insert(var))
            .map(|&var| {
                let (witness, span) = (self.witness(var), self.bindings[var].ident.span().resolved_at(here()));
                quote_spanned! {span=>
                    (&&&&#witness.receiver())
                        .moved()
                        .left(&#witness.receiver(), const { ::kappa::__private::held::Unclear::new() });
                }
            });
        let forget = self.graph.live_in[place.root]
            .iter()
            .filter(|var| !place.visible.contains(var) && !live.contains(var) && !unneeded.whole.contains(var));
        let forget = forget.map(|&var| {
            let slot = self.slot(var);
            quote!(#slot = ::core::option::Option::None;)
        });
        // A variable from which a field has been moved cannot go into its slot.
        let parts = self.graph.parts[place.at]
            .iter()
            .filter(|((var, _), _)| live.contains(var) && place.visible.contains(var) && !self.shadowed.contains(var));
        let whole = parts.map(|(_, code)| {
            let span = code.span().resolved_at(here());
            quote_spanned!(span=> loop { break; ::kappa::__private::copied_field(&#code); })
        });
        let number = self.arms[&arm];
        let go = match self.graph.blocks[arm].end {
            End::Point { .. } => quote_spanned!(here()=> break '__suspend;),
            _ => quote_spanned!(here()=> continue '__run;),
        };
        let block = Ident::new("__block", here());
        quote!(#(#whole)* #(#put_back)* #(#hold)* #(#unclear)* #(#taken)* #(#emptied)* #(#received)* #(#put)* #(#forget)* #block = #number; #go)
    }
}
