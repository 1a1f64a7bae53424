//! From the control-flow graph to Rust.
//!
//! The body becomes `loop { match block { .. } }` with one arm for the entry, one for each suspension point, and one for each block that can be
//! reached from more than one of those. Everything that an arm dominates is nested inside it as plain structured code (`if`, `match`, labelled
//! blocks, native loops; after Ramsey, "Beyond Relooper"), so that variables stay in registers and borrows between two suspension points work as the
//! user wrote them. Only on the way from arm to arm do the live variables move through their slots.

mod nesting;

use crate::graph::{BlockId, ENTRY, End, Graph};
use crate::names::{Binding, Var, Vars};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use syn::Lifetime;

pub(crate) struct Emitter<'a> {
    graph: &'a Graph,
    bindings: &'a [Binding],
    cx: &'a Ident,
    /// The number of each arm: 0 is the entry, 1.. are the suspension points in the order of the text, then the others.
    arms: BTreeMap<BlockId, u32>,
    points: usize,
    /// For each block inside an arm: behind which block's end its code is placed; absent if it stands where the jump to it is.
    hosts: BTreeMap<BlockId, BlockId>,
    /// Blocks that some block inside the same arm jumps back to.
    loops: BTreeSet<BlockId>,
    /// The variables that some arm assigns anew without taking what was there before. Nothing flows from the one place to the other, so without a
    /// witness their types would be inferred one by one: `let mut x = 1_u8; ..; x = 255;` would make an `i32` of the second.
    witnessed: Vars,
}

/// What an arm starts with.
struct Start {
    /// Taken out of their slots.
    taken: Vars,
    /// Assigned here, declared in another arm.
    missing: Vars,
    place: Place,
}

/// What holds at one place of an arm's code.
#[derive(Clone)]
struct Place {
    root: BlockId,
    /// The variables that this arm does more with than declare them.
    used: Rc<Vars>,
    /// The variables that are in hand here, under their names.
    visible: Vars,
    /// The variables declared since the arm began.
    declared: Vars,
    /// The labels that are open here.
    breaks: BTreeSet<BlockId>,
    continues: BTreeSet<BlockId>,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(graph: &'a Graph, bindings: &'a [Binding], cx: &'a Ident, points: &[BlockId]) -> Self {
        let mut emitter = Emitter {
            graph,
            bindings,
            cx,
            arms: BTreeMap::from([(ENTRY, 0)]),
            points: points.len(),
            hosts: BTreeMap::new(),
            loops: BTreeSet::new(),
            witnessed: Vars::new(),
        };
        for (at, &point) in points.iter().enumerate() {
            emitter.arms.insert(point, at as u32 + 1);
        }
        for &block in &graph.reachable {
            if graph.dominator[block].is_none() && !emitter.arms.contains_key(&block) {
                let number = emitter.arms.len() as u32;
                emitter.arms.insert(block, number);
            }
        }
        for &block in &graph.reachable {
            emitter.place(block);
        }
        emitter.witnessed = emitter
            .arms
            .keys()
            .filter(|arm| graph.reachable.contains(arm))
            .flat_map(|&arm| emitter.start(arm).missing)
            .collect();
        emitter
    }

    fn place(&mut self, block: BlockId) {
        let graph = self.graph;
        let mut forward_edges = 0;
        let mut last = ENTRY;
        for predecessor in graph.predecessors(block) {
            if graph.dominates(block, predecessor) {
                self.loops.insert(block);
            } else {
                forward_edges += graph.blocks[predecessor]
                    .targets()
                    .iter()
                    .filter(|&&target| target == block)
                    .count();
                last = predecessor;
            }
        }
        let Some(dominator) = graph.dominator[block] else {
            return;
        };
        let root = graph.root(block);
        let host = match graph.blocks[block].after {
            Some(entry) if entry != block && graph.dominates(entry, block) => Some(entry),
            Some(_) => Some(root),
            None if forward_edges > 1 => Some(dominator),
            None => None,
        };
        if let Some(host) = host {
            let follows_directly = forward_edges == 1 && last == host && matches!(graph.blocks[host].end, End::Jump(_));
            if !follows_directly {
                self.hosts.insert(block, host);
            }
        }
    }

    fn slot(&self, var: Var) -> Ident {
        format_ident!("__slot{}", var, span = Span::call_site())
    }

    /// The slot, with the place where the variable is declared: there an error belongs that says it cannot be saved.
    fn spanned_slot(&self, var: Var) -> (Ident, Span) {
        let span = self.bindings[var].ident.span().resolved_at(Span::call_site());
        (Ident::new(&self.slot(var).to_string(), span), span)
    }

    fn witness(&self, var: Var) -> Ident {
        format_ident!("__type{}", var, span = Span::call_site())
    }

    /// Gives the variables the types they have elsewhere, in code that is never reached.
    fn same_types<'v>(&self, vars: impl IntoIterator<Item = &'v Var>) -> TokenStream {
        let witnessed = vars.into_iter().filter(|var| self.witnessed.contains(var));
        let checks = witnessed.map(|&var| {
            let (witness, ident) = (self.witness(var), &self.bindings[var].ident);
            quote!(loop { break; #witness.is(&#ident); })
        });
        quote!(#(#checks)*)
    }

    fn operation(&self, point: BlockId) -> Ident {
        format_ident!("__operation{}", self.arms[&point], span = Span::call_site())
    }

    fn label(&self, kind: &str, block: BlockId) -> Lifetime {
        Lifetime::new(&format!("'__{kind}{block}"), Span::call_site())
    }

    /// The variables that need a slot.
    fn slots(&self) -> Vars {
        self.arms
            .keys()
            .filter(|arm| self.graph.reachable.contains(arm))
            .flat_map(|&arm| self.graph.live_in[arm].clone())
            .collect()
    }

    /// Everything from the declaration of the slots to the end of the function's body.
    pub(crate) fn body(&self, parameters: &[Var], name: &TokenStream) -> TokenStream {
        let slots = self.slots();
        let slot_names = slots.iter().map(|&var| self.slot(var));
        let witnesses = self.witnessed.iter().map(|&var| self.witness(var));
        let parameter_types = self.same_types(parameters);
        let operations = self
            .points_in_order()
            .map(|point| self.operation(point))
            .collect::<Vec<_>>();
        let parameter_names: Vec<_> = parameters.iter().map(|&var| &self.bindings[var].ident).collect();
        let parameters_to_slots = parameters.iter().filter(|var| slots.contains(var)).map(|&var| {
            let (slot, ident) = (self.slot(var), &self.bindings[var].ident);
            quote!(#slot = ::core::option::Option::Some(#ident);)
        });
        let last_point = self.points as u32;
        let probes = self.probes(&slots);
        let cx = self.cx;
        let mut arms: Vec<(usize, TokenStream)> = Vec::new();
        for (&arm, number) in &self.arms {
            if self.graph.reachable.contains(&arm) {
                let code = self.arm(arm, name);
                arms.push((self.graph.blocks[arm].order, quote!(#number => { #code })));
            }
        }
        arms.sort_by_key(|(order, _)| *order);
        let arms = arms.into_iter().map(|(_, code)| code);
        quote! {
            #(let mut #slot_names = ::core::option::Option::None;)*
            #(let #witnesses = ::kappa::__private::Witness::new();)*
            #(let mut #operations = ::core::option::Option::None;)*
            let mut __saved = ::core::option::Option::None;
            let mut __block: u32 = match __entry {
                ::kappa::__private::Entry::Begin((#(#parameter_names,)*)) => {
                    #parameter_types
                    #(#parameters_to_slots)*
                    0
                }
                ::kappa::__private::Entry::Resume => {
                    let __frame = #cx.take_frame().await;
                    let __point = __frame.point;
                    if __point == 0 || __point > #last_point {
                        #cx.unusable::<()>(#name, "the checkpoint is at a suspension point that this function does not have").await;
                    }
                    __saved = ::core::option::Option::Some(__frame);
                    __point
                }
            };
            // Every arm ends in `continue`, `break` of an inner label, or `return`: the loop has no end.
            let __never: ::core::convert::Infallible = '__run: loop {
                match __block {
                    #(#arms)*
                    _ => ::core::unreachable!("a block that does not exist"),
                }
            };
            #[allow(unreachable_code)]
            {
                #probes
                match __never {}
            }
        }
    }

    /// Code that is never reached, and does not compile if a variable that is saved borrows text. It stands at the end, where its type is known.
    fn probes(&self, slots: &Vars) -> TokenStream {
        let saved = slots.iter().filter(|&&var| self.bindings[var].shared.is_none());
        let probes = saved.map(|&var| {
            let (slot, span) = self.spanned_slot(var);
            quote_spanned! {span=>
                let __probe = ::kappa::__private::probe(&#slot);
                __probe.itself();
                __probe.first();
                __probe.second();
            }
        });
        quote! {
            #[allow(unused_imports)]
            use ::kappa::__private::NotBorrowed as _;
            #(#probes)*
        }
    }

    fn points_in_order(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.graph
            .reachable
            .iter()
            .copied()
            .filter(|&block| matches!(self.graph.blocks[block].end, End::Point { .. }))
    }

    /// Everything that a block mentions.
    fn mentioned(&self, block: BlockId) -> Vars {
        let mut vars = self.used(block);
        let block = &self.graph.blocks[block];
        vars.extend(block.end_declares());
        vars.extend(block.atoms.iter().flat_map(|atom| &atom.declares));
        vars
    }

    /// Everything that a block does more with than declare it.
    fn used(&self, block: BlockId) -> Vars {
        let block = &self.graph.blocks[block];
        let mut vars = block.end_found().mentions;
        for atom in &block.atoms {
            vars.extend(&atom.found.mentions);
            vars.extend(&atom.found.assigned);
        }
        vars
    }

    fn start(&self, root: BlockId) -> Start {
        let members: Vec<BlockId> = self
            .graph
            .reachable
            .iter()
            .copied()
            .filter(|&block| self.graph.root(block) == root)
            .collect();
        let mentioned: Vars = members.iter().flat_map(|&block| self.mentioned(block)).collect();
        let taken: Vars = self.graph.live_in[root].intersection(&mentioned).copied().collect();
        let mut place = Place {
            root,
            used: Rc::new(members.iter().flat_map(|&block| self.used(block)).collect()),
            visible: taken.clone(),
            declared: Vars::new(),
            breaks: BTreeSet::new(),
            continues: BTreeSet::new(),
        };
        let mut missing = Vars::new();
        self.missing(root, &place, &mut missing);
        place.visible.extend(&missing);
        Start { taken, missing, place }
    }

    fn arm(&self, root: BlockId, name: &TokenStream) -> TokenStream {
        let Start { taken, missing, place } = self.start(root);
        let take = taken.iter().map(|&var| {
            let (slot, ident) = (self.slot(var), &self.bindings[var].ident);
            let mutable = self.bindings[var].mutable.then(|| quote!(mut));
            quote!(let #mutable #ident = ::kappa::__private::take(&mut #slot);)
        });
        let missing = missing.iter().map(|&var| {
            let (witness, ident) = (self.witness(var), &self.bindings[var].ident);
            quote!(let mut #ident; loop { break; #ident = #witness.value(); })
        });
        let point = match self.graph.blocks[root].end {
            End::Point { result, auto, .. } => Some(self.point(root, result, auto, name)),
            _ => None,
        };
        let code = self.node(root, &place);
        quote!(#point #(#take)* #(#missing)* #code)
    }

    /// Restores, performs, and has the result under its name.
    fn point(&self, point: BlockId, result: Var, auto: bool, name: &TokenStream) -> TokenStream {
        let cx = self.cx;
        let number = self.arms[&point];
        let operation = self.operation(point);
        let live = &self.graph.live_in[point];
        let stored: Vec<Var> = live
            .iter()
            .copied()
            .filter(|&var| self.bindings[var].shared.is_none())
            .collect();
        let save = stored.iter().map(|&var| {
            let (slot, span) = self.spanned_slot(var);
            let save = Ident::new(if auto { "save_in_loop" } else { "save" }, span);
            let name = self.bindings[var].ident.to_string();
            quote_spanned!(span=> ::kappa::__private::#save(&#slot, #name, __to)?;)
        });
        let restore = stored.iter().map(|&var| {
            let (slot, span) = self.spanned_slot(var);
            let restore = Ident::new(if auto { "restore_in_loop" } else { "restore" }, span);
            quote_spanned!(span=> ::kappa::__private::#restore(&mut #slot, __from)?;)
        });
        let rebuild = live.iter().filter_map(|&var| {
            let (make, uses) = self.bindings[var].shared.as_ref()?;
            let (slot, ident) = (self.slot(var), &self.bindings[var].ident);
            let uses: Vec<Var> = uses.iter().copied().filter(|var| live.contains(var)).collect();
            let take = uses.iter().map(|&var| {
                let (slot, ident) = (self.slot(var), &self.bindings[var].ident);
                let mutable = self.bindings[var].mutable.then(|| quote!(mut));
                quote!(let #mutable #ident = ::kappa::__private::take(&mut #slot);)
            });
            let put = uses.iter().map(|&var| {
                let (slot, ident) = (self.slot(var), &self.bindings[var].ident);
                quote!(#slot = ::core::option::Option::Some(#ident);)
            });
            Some(quote! {{
                #(#take)*
                let #ident = #make;
                #(#put)*
                #slot = ::core::option::Option::Some(#ident);
            }})
        });
        let result_types = self.same_types([&result]);
        let result = &self.bindings[result].ident;
        quote! {
            if let ::core::option::Option::Some(__frame) = __saved.take() {
                let __restored = (|__from: &mut ::kappa::__private::Reader<'_>| -> ::core::result::Result<(), ::kappa::__private::Unsaved> {
                    #(#restore)*
                    __from.end()
                })(&mut __frame.reader());
                if let ::core::result::Result::Err(__cause) = __restored {
                    #cx.unusable::<()>(#name, __cause).await;
                }
                #(#rebuild)*
            }
            let mut #result = {
                let __live = |__to: &mut ::kappa::__private::Writer| -> ::core::result::Result<(), ::kappa::__private::Unsaved> {
                    #(#save)*
                    ::core::result::Result::Ok(())
                };
                let __frame = ::kappa::__private::Frame {
                    caller: __caller,
                    function: __FUNCTION,
                    point: #number,
                    live: &__live,
                };
                #cx.perform(#operation.take(), &__frame).await
            };
            #result_types
        }
    }

    /// Finds the variables that the code of an arm mentions without having them.
    fn missing(&self, root: BlockId, place: &Place, missing: &mut Vars) {
        for &block in &self.graph.reachable {
            if self.graph.root(block) != root {
                continue;
            }
            let mut visible = place.visible.clone();
            let mut below = block;
            let mut at = Some(block);
            while let Some(upper) = at {
                let upper_block = &self.graph.blocks[upper];
                visible.extend(upper_block.atoms.iter().flat_map(|atom| &atom.declares));
                if upper != block || matches!(upper_block.end, End::Point { .. }) {
                    visible.extend(upper_block.end_declares());
                }
                below = upper;
                at = self.graph.dominator[upper];
            }
            debug_assert_eq!(below, root);
            let mut mentioned = self.mentioned(block);
            for var in self.graph.blocks[block].end_declares() {
                mentioned.remove(&var);
            }
            missing.extend(mentioned.difference(&visible));
        }
    }
}
