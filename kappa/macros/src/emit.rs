//! From the control-flow graph to Rust.
//!
//! The body becomes `loop { match block { .. } }` with one arm for the entry, one for each suspension point, and one for each block that can be
//! reached from more than one of those. Everything that an arm dominates is nested inside it as plain structured code (`if`, `match`, labelled
//! blocks, native loops; after Ramsey, "Beyond Relooper"), so that variables stay in registers and borrows between two suspension points work as the
//! user wrote them. The braces are those of the user: what an arm takes out of a slot it declares inside the scope that the user declared it in, so
//! that it is dropped where that scope ends, and its name means what it meant there.
//!
//! Only on the way from arm to arm do the live variables move through their slots, and only those that the arm mentions. There is one `.await` for all
//! suspension points, behind the `match`, and one place where each variable is saved and restored: the time to compile grows with the length of the
//! function, not with its square.

mod nesting;
mod point;

use crate::graph::{BlockId, ENTRY, End, Graph};
use crate::names::{Binding, Names, Var, Vars};
use proc_macro2::{Ident, Spacing, Span, TokenStream, TokenTree};
use quote::{format_ident, quote, quote_spanned};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use syn::Lifetime;

pub(crate) struct Emitter<'a> {
    graph: &'a Graph,
    bindings: &'a [Binding],
    names: &'a Names,
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
    /// Those and all others whose types must be known elsewhere.
    typed: Vars,
    /// The variables whose names mean another variable in some scope inside theirs.
    shadowed: Vars,
    /// The variables that may have to be held until their scope ends; see `kappa::continuation::held`.
    held: Vars,
    /// Those that some arm takes out of their slots.
    slots: Vars,
    /// Those of which it has been said that nobody knows whether they are moved.
    refused: RefCell<Vars>,
    /// The same of those that have been taken apart, of those behind which something has been moved, and of receivers of methods.
    refused_if_taken: RefCell<Vars>,
    refused_if_emptied: RefCell<Vars>,
    refused_if_received: RefCell<Vars>,
}

/// What an arm starts with.
struct Start {
    /// Taken out of their slots.
    taken: Vars,
    /// Assigned here, declared in another arm.
    missing: Vars,
    place: Place,
}

/// A statement of an arm.
struct Item {
    code: TokenStream,
    declares: Vec<Var>,
    /// The held variables that it takes, to be dropped with their scope.
    takes: Vec<Var>,
    /// The variables that it assigns as a whole.
    assigns: Vars,
}

/// What holds at one place of an arm's code.
#[derive(Clone)]
struct Place {
    root: BlockId,
    /// The block whose code this is.
    at: BlockId,
    /// The variables that this arm does more with than declare them.
    used: Rc<Vars>,
    /// The variables that are in hand here, under their names.
    visible: Vars,
    /// The variables declared since the arm began.
    declared: Vars,
    /// What has been taken of the held values: for each local the first and the last variable.
    pieces: Vec<(Var, Var)>,
    /// The variables assigned on the way here.
    assigned: Vars,
    /// The labels that are open here.
    breaks: BTreeSet<BlockId>,
    continues: BTreeSet<BlockId>,
}

/// Where names of the compiler are looked up, so that a variable of the user never means one of them.
pub(crate) fn here() -> Span {
    Span::mixed_site()
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(graph: &'a Graph, names: &'a Names, cx: &'a Ident, points: &[BlockId]) -> Self {
        let mut emitter = Emitter {
            graph,
            bindings: &names.bindings,
            names,
            cx,
            arms: BTreeMap::from([(ENTRY, 0)]),
            points: points.len(),
            hosts: BTreeMap::new(),
            loops: BTreeSet::new(),
            witnessed: Vars::new(),
            typed: Vars::new(),
            shadowed: Vars::new(),
            held: Vars::new(),
            slots: Vars::new(),
            refused: RefCell::default(),
            refused_if_taken: RefCell::default(),
            refused_if_emptied: RefCell::default(),
            refused_if_received: RefCell::default(),
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
        emitter.shadowed = emitter.find_shadowed();
        let arms = || emitter.arms.keys().filter(|arm| graph.reachable.contains(arm));
        emitter.held = arms().flat_map(|&arm| graph.unneeded[arm].whole.clone()).collect();
        let unclear: Vars = arms().flat_map(|&arm| graph.unneeded[arm].unclear.clone()).collect();
        emitter.typed = emitter.witnessed.union(&emitter.held).copied().collect();
        emitter.typed.extend(unclear);
        emitter.slots = emitter.find_slots();
        // What several ways assign to is coerced to what is expected of the whole.
        let values = emitter.bindings.iter().enumerate();
        let values = values
            .filter(|(var, binding)| binding.temporary && binding.written.is_some() && emitter.slots.contains(var));
        emitter.typed.extend(values.map(|(var, _)| var));
        let left = arms().flat_map(|&arm| {
            let unneeded = &graph.unneeded[arm];
            unneeded.taken.iter().chain(&unneeded.emptied).chain(&unneeded.received)
        });
        emitter.typed.extend(left.copied().collect::<Vars>());
        emitter
    }

    fn find_shadowed(&self) -> Vars {
        let mut by_name: BTreeMap<String, Vec<Var>> = BTreeMap::new();
        for (var, binding) in self.bindings.iter().enumerate() {
            by_name.entry(binding.ident.to_string()).or_default().push(var);
        }
        let mut shadowed = Vars::new();
        for vars in by_name.values().filter(|vars| vars.len() > 1) {
            for (at, &outer) in vars.iter().enumerate() {
                let is_shadowed = |&inner: &Var| {
                    self.names
                        .encloses(self.bindings[outer].scope, self.bindings[inner].scope)
                };
                if vars[at + 1..].iter().any(is_shadowed) {
                    shadowed.insert(outer);
                }
            }
        }
        shadowed
    }

    fn in_scope(&self, var: Var, at: BlockId) -> bool {
        self.names
            .encloses(self.bindings[var].scope, self.graph.blocks[at].scope)
    }

    /// The outermost block whose code must not be around another one: it declares a variable whose scope has ended there.
    fn closed(&self, block: BlockId) -> Option<BlockId> {
        let dominator = self.graph.dominator[block]?;
        let mut found = None;
        let (mut at, mut below) = (dominator, block);
        loop {
            let code = &self.graph.blocks[at];
            let mut declared: Vars = code.atoms.iter().flat_map(|atom| &atom.declares).copied().collect();
            declared.extend(code.declared_for(below));
            if self.graph.dominator[at].is_none() {
                declared.extend(&self.graph.live_in[at]);
            }
            let is_closed =
                |&var: &Var| (at == dominator || self.in_scope(var, dominator)) && !self.in_scope(var, block);
            if declared.iter().any(is_closed) {
                found = Some(at);
            }
            match self.graph.dominator[at] {
                Some(upper) => (at, below) = (upper, at),
                None => return found,
            }
        }
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
        let closed = self.closed(block);
        let host = match graph.blocks[block].after {
            Some(entry) => Some(graph.dominating_copy(entry, block).unwrap_or(root)),
            None => closed.or((forward_edges > 1).then_some(dominator)),
        };
        if let Some(host) = host {
            let is_jump = matches!(graph.blocks[host].end, End::Jump(_));
            let follows_directly = forward_edges == 1 && last == host && is_jump && closed.is_none();
            if !follows_directly {
                self.hosts.insert(block, host);
            }
        }
    }

    fn slot(&self, var: Var) -> Ident {
        format_ident!("__slot{}", var, span = here())
    }

    /// The slot, with the place where the variable is declared: there an error belongs that says it cannot be saved.
    fn spanned_slot(&self, var: Var) -> (Ident, Span) {
        let span = self.bindings[var].ident.span().resolved_at(here());
        (Ident::new(&self.slot(var).to_string(), span), span)
    }

    fn held(&self) -> Ident {
        Ident::new("__held", here())
    }

    /// The local that values are taken into that are dropped with its scope.
    fn piece(&self, first: Var) -> Ident {
        format_ident!("__held{}", first, span = here())
    }

    fn witness(&self, var: Var) -> Ident {
        format_ident!("__type{}", var, span = here())
    }

    /// The macro that stands for a variable where its name means another one: names in a `macro_rules!` mean what they mean where it is written.
    fn alias(&self, var: Var) -> Ident {
        format_ident!("__kappa_variable{}", var)
    }

    /// What has to be written right behind the declaration of these variables.
    fn declared<'v>(&self, vars: impl IntoIterator<Item = &'v Var> + Clone) -> TokenStream {
        let types = self.same_types(vars.clone());
        let aliases = vars.into_iter().filter(|var| self.shadowed.contains(var)).map(|&var| {
            let (alias, ident) = (self.alias(var), &self.bindings[var].ident);
            quote!(#[allow(unused_macros)] macro_rules! #alias { () => { #ident }; })
        });
        quote!(#types #(#aliases)*)
    }

    /// The variable, wherever its declaration can be seen.
    fn variable(&self, var: Var) -> TokenStream {
        if self.shadowed.contains(&var) {
            let alias = self.alias(var);
            return quote!(#alias!());
        }
        let ident = &self.bindings[var].ident;
        quote!(#ident)
    }

    /// Gives a variable of the user's code, which is never run, the type that it has in the arms.
    pub(crate) fn tie(&self, var: Var, ident: &Ident) -> Option<TokenStream> {
        let span = ident.span().resolved_at(here());
        if self.slots.contains(&var) {
            let slot = self.slot(var);
            return Some(quote_spanned!(span=> ::kappa::__private::same_type(&#slot, &#ident);));
        }
        self.typed.contains(&var).then(|| {
            let witness = self.witness(var);
            quote_spanned!(span=> #witness.is(&#ident);)
        })
    }

    /// A variable with a slot of which it is not known that it is no constant.
    pub(crate) fn doubtful(&self) -> Option<Var> {
        self.slots.iter().copied().find(|&var| self.bindings[var].doubtful)
    }

    /// An `async` block that a suspension point would drop before its scope ends: whether it has a destructor, rustc does not know while it infers types.
    pub(crate) fn future_in_scope(&self) -> Option<Var> {
        let arms = self.arms.keys().filter(|arm| self.graph.reachable.contains(arm));
        let mut unneeded = arms.map(|&arm| &self.graph.unneeded[arm]);
        unneeded.find_map(|unneeded| {
            let mut vars = unneeded.whole.iter().chain(&unneeded.unclear);
            vars.find(|&&var| self.bindings[var].future).copied()
        })
    }

    /// What knows the type of a temporary.
    pub(crate) fn value_witness(&self, var: Var) -> Option<Ident> {
        self.typed.contains(&var).then(|| self.witness(var))
    }

    /// Gives the variables the types they have elsewhere, in code that is never reached.
    fn same_types<'v>(&self, vars: impl IntoIterator<Item = &'v Var>) -> TokenStream {
        let witnessed = vars.into_iter().filter(|var| self.typed.contains(var));
        let checks = witnessed.map(|&var| {
            let (witness, ident) = (self.witness(var), &self.bindings[var].ident);
            quote!(loop { break; #witness.is(&#ident); })
        });
        quote!(#(#checks)*)
    }

    fn pending(&self, point: BlockId) -> Ident {
        format_ident!("__point{}", self.arms[&point], span = here())
    }

    fn label(&self, kind: &str, block: BlockId) -> Lifetime {
        Lifetime::new(&format!("'__{kind}{block}"), here())
    }

    /// The variables that need a slot.
    fn find_slots(&self) -> Vars {
        self.arms
            .keys()
            .filter(|arm| self.graph.reachable.contains(arm))
            .flat_map(|&arm| self.graph.live_in[arm].clone())
            .collect()
    }

    /// Everything from the declaration of the slots to the end of the function's body.
    pub(crate) fn body(&self, parameters: &[Var], name: &TokenStream, original: &TokenStream) -> TokenStream {
        let slots = &self.slots;
        let slot_names = slots.iter().map(|&var| self.slot(var));
        let witnesses = self.typed.iter().map(|&var| self.witness(var));
        let parameter_types = self.same_types(parameters);
        let pending = self.points_in_order().map(|point| self.pending(point));
        let parameter_names: Vec<_> = parameters.iter().map(|&var| &self.bindings[var].ident).collect();
        let parameters_to_slots = parameters.iter().filter(|var| slots.contains(var)).map(|&var| {
            let (slot, ident) = (self.slot(var), &self.bindings[var].ident);
            quote!(#slot = ::core::option::Option::Some(#ident);)
        });
        let unneeded = parameters
            .iter()
            .filter(|var| self.graph.unneeded[ENTRY].whole.contains(var))
            .map(|&var| {
                let (ident, witness, held, number) =
                    (&self.bindings[var].ident, self.witness(var), self.held(), var as u32);
                quote!((&&&&&&&&#witness.probe()).kind().hold(#ident, #number, &mut #held);)
            });
        let last_point = self.points as u32;
        let probes = self.probes();
        let cx = self.cx;
        let mut arms: Vec<(usize, TokenStream)> = Vec::new();
        for (&arm, number) in &self.arms {
            if self.graph.reachable.contains(&arm) {
                let code = self.arm(arm);
                arms.push((self.graph.blocks[arm].order, quote!(#number => { #code })));
            }
        }
        arms.sort_by_key(|(order, _)| *order);
        let arms = arms.into_iter().map(|(_, code)| code);
        let suspended = self.suspended(name);
        quote_spanned! {here()=>
            #(let mut #slot_names = ::core::option::Option::None;)*
            #(let #witnesses = ::kappa::__private::Witness::new();)*
            #(let mut #pending = ::kappa::__private::Pending::new();)*
            let mut __held = ::kappa::__private::Held::new();
            let mut __saved = ::core::option::Option::None;
            let mut __block: u32 = match __entry {
                ::kappa::__private::Entry::Begin((#(#parameter_names,)*)) => {
                    #parameter_types
                    #original
                    #(#parameters_to_slots)*
                    #(#unneeded)*
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
            // Every arm ends in `continue`, `break` of a label, or `return`: the loop has no end.
            let __never: ::core::convert::Infallible = '__run: loop {
                '__suspend: {
                    if ::core::option::Option::is_some(&__saved) {
                        break '__suspend;
                    }
                    match __block {
                        #(#arms)*
                        _ => ::core::unreachable!("a block that does not exist"),
                    }
                }
                #suspended
            };
            #[allow(unreachable_code)]
            {
                #probes
                match __never {}
            }
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
        let live = &self.graph.live_in[root];
        let mut taken: Vars = live.intersection(&mentioned).copied().collect();
        taken.extend(self.dropped_here(root, &members, &taken));
        let mut place = Place {
            root,
            at: root,
            used: Rc::new(members.iter().flat_map(|&block| self.used(block)).collect()),
            visible: taken.clone(),
            declared: Vars::new(),
            pieces: Vec::new(),
            assigned: Vars::new(),
            breaks: BTreeSet::new(),
            continues: BTreeSet::new(),
        };
        let mut missing = Vars::new();
        self.missing(root, &place, &mut missing);
        place.visible.extend(&missing);
        Start { taken, missing, place }
    }

    /// The live variables that an arm does not mention, but may have to drop: where their scope ends in it, and where the function ends, in their
    /// order among the others.
    fn dropped_here(&self, root: BlockId, members: &[BlockId], taken: &Vars) -> Vars {
        let others = self.graph.live_in[root].difference(taken).copied();
        let others: Vec<Var> = others.filter(|&var| !self.bindings[var].plain).collect();
        if others.is_empty() {
            return Vars::new();
        }
        let ends = members.iter().any(|&block| self.may_return(block));
        // What is in hand is dropped before what is in a slot.
        let first = taken
            .iter()
            .filter(|&&var| !self.bindings[var].plain)
            .chain(&self.graph.unneeded[root].whole)
            .min();
        let leads_to: BTreeSet<BlockId> = members
            .iter()
            .flat_map(|&block| self.graph.blocks[block].targets())
            .collect();
        let is_dropped = |&var: &Var| {
            (ends && first.is_some_and(|&first| first < var))
                || leads_to.iter().any(|&block| !self.in_scope(var, block))
        };
        others.into_iter().filter(is_dropped).collect()
    }

    /// Whether the function may end in this block.
    fn may_return(&self, block: BlockId) -> bool {
        fn returns(tokens: TokenStream) -> bool {
            let mut after_ident = false;
            tokens.into_iter().any(|tree| {
                let was_ident = std::mem::replace(&mut after_ident, matches!(tree, TokenTree::Ident(_)));
                match tree {
                    TokenTree::Ident(ident) => ident == "return",
                    TokenTree::Group(group) => returns(group.stream()),
                    // A macro may hold a `return`.
                    TokenTree::Punct(punct) => match punct.as_char() {
                        '?' => true,
                        '!' => was_ident && punct.spacing() == Spacing::Alone,
                        _ => false,
                    },
                    TokenTree::Literal(_) => false,
                }
            })
        }
        let block = &self.graph.blocks[block];
        let end = match &block.end {
            End::Branch { condition, .. } => condition.clone(),
            End::Match { scrutinee, choices, .. } => {
                let guards = choices.iter().filter_map(|choice| choice.guard.clone());
                guards.fold(scrutinee.clone(), |all, guard| quote!(#all #guard))
            }
            End::LetElse { value, .. } => value.clone(),
            End::Suspend { operation, .. } => operation.clone(),
            End::Stop => return true,
            End::Open | End::Jump(_) | End::Point { .. } => TokenStream::new(),
        };
        returns(end) || block.atoms.iter().any(|atom| returns(atom.code.clone()))
    }

    fn arm(&self, root: BlockId) -> TokenStream {
        let Start { taken, missing, place } = self.start(root);
        let mut items = Vec::new();
        let held = &self.graph.unneeded[root].whole;
        let mut last_scope = None;
        let in_order: Vars = taken.union(&missing).chain(held).copied().collect();
        for &var in &in_order {
            if held.contains(&var) {
                // One local for as many as follow each other in one scope.
                let scope = self.bindings[var].scope;
                match items.last_mut() {
                    Some(Item { takes, .. }) if last_scope == Some(scope) => takes.push(var),
                    _ => items.push(Item {
                        code: TokenStream::new(),
                        declares: Vec::new(),
                        takes: vec![var],
                        assigns: Vars::new(),
                    }),
                }
                last_scope = Some(scope);
                if !missing.contains(&var) {
                    continue;
                }
            }
            last_scope = None;
            let ident = &self.bindings[var].ident;
            let code = if taken.contains(&var) {
                let slot = self.slot(var);
                let mutable = self.bindings[var].mutable.then(|| quote!(mut));
                quote!(let #mutable #ident = ::kappa::__private::take(&mut #slot);)
            } else {
                let witness = self.witness(var);
                quote!(let mut #ident; loop { break; #ident = #witness.value(); })
            };
            let declared = self.declared([&var]);
            items.push(Item {
                code: quote!(#code #declared),
                declares: vec![var],
                takes: Vec::new(),
                assigns: Vars::new(),
            });
        }
        if let End::Point { result, .. } = self.graph.blocks[root].end {
            let (ident, pending) = (&self.bindings[result].ident, self.pending(root));
            let types = self.same_types([&result]);
            items.push(Item {
                code: quote!(let mut #ident = #pending.result(); #types),
                declares: vec![result],
                takes: Vec::new(),
                assigns: Vars::new(),
            });
        }
        for item in &mut items {
            if let (Some(&first), Some(&last)) = (item.takes.first(), item.takes.last()) {
                let (piece, held) = (self.piece(first), self.held());
                let (first, last) = (first as u32, last as u32);
                item.code = quote!(let mut #piece = #held.take(#first, #last););
            }
        }
        self.node(root, &place, items)
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
