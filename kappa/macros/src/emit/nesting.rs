//! The code of one arm: a block, what stands behind its end, and everything that it dominates, as plain structured code.

use super::{Emitter, Place};
use crate::graph::{BlockId, End};
use crate::names::Var;
use proc_macro2::TokenStream;
use quote::quote;

impl Emitter<'_> {
    /// The code of a block and of everything that is placed inside it.
    pub(super) fn node(&self, id: BlockId, place: &Place) -> TokenStream {
        let block = &self.graph.blocks[id];
        let mut place = place.clone();
        let is_loop = self.loops.contains(&id) && !matches!(block.end, End::Point { .. });
        if is_loop {
            place.continues.insert(id);
        }
        let mut atoms = TokenStream::new();
        for atom in &block.atoms {
            let is_used = |var: &Var| place.used.contains(var) || self.witnessed.contains(var);
            if atom.deferred && !atom.declares.iter().any(is_used) {
                continue;
            }
            atoms.extend(atom.code.clone());
            atoms.extend(self.same_types(&atom.declares));
            place.visible.extend(&atom.declares);
            place.declared.extend(&atom.declares);
        }
        if let End::Point { result, .. } = block.end {
            place.visible.insert(result);
        }
        let mut hosted: Vec<BlockId> = self
            .hosts
            .iter()
            .filter(|&(_, &host)| host == id)
            .map(|(&block, _)| block)
            .collect();
        hosted.sort_by_key(|&block| self.graph.blocks[block].order);
        // Behind the end of this block come the hosted blocks, the first of them innermost.
        let mut inner = place.clone();
        inner.breaks.extend(&hosted);
        let mut code = self.end(id, &inner);
        for (at, &block) in hosted.iter().enumerate() {
            let label = self.label("after", block);
            let mut rest = place.clone();
            rest.breaks.extend(&hosted[at + 1..]);
            let behind = self.node(block, &rest);
            code = quote!(#label: { #code } #behind);
        }
        if is_loop {
            let label = self.label("loop", id);
            quote!(let __never: ::core::convert::Infallible = #label: loop { #atoms #code };)
        } else {
            quote!(#atoms #code)
        }
    }

    fn end(&self, id: BlockId, place: &Place) -> TokenStream {
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
                    quote!(#pattern #guard => { #code })
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
                let slot = self.operation(*point);
                let jump = self.leave(*point, place);
                quote!(#slot = ::core::option::Option::Some(#operation); #jump)
            }
        }
    }

    /// Goes to a block; `binds` are the variables that have just been bound on this way.
    fn jump(&self, target: BlockId, place: &Place, binds: &[Var]) -> TokenStream {
        let mut place = place.clone();
        place.visible.extend(binds);
        place.declared.extend(binds);
        let types = self.same_types(binds);
        let code = self.jump_from(target, &place);
        quote!(#types #code)
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
        self.node(target, place)
    }

    /// Goes to another arm: the variables that are live there go into their slots.
    fn leave(&self, arm: BlockId, place: &Place) -> TokenStream {
        let live = &self.graph.live_in[arm];
        let put = live.intersection(&place.visible).map(|&var| {
            let (slot, ident) = (self.slot(var), &self.bindings[var].ident);
            quote!(#slot = ::core::option::Option::Some(#ident);)
        });
        let forget = self.graph.live_in[place.root]
            .iter()
            .filter(|var| !place.visible.contains(var) && !live.contains(var));
        let forget = forget.map(|&var| {
            let slot = self.slot(var);
            quote!(#slot = ::core::option::Option::None;)
        });
        let number = self.arms[&arm];
        quote!(#(#put)* #(#forget)* __block = #number; continue '__run;)
    }
}
