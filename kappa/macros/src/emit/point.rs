//! The one place behind the arms where the function is suspended: restores, performs, and lets the arm of the suspension point go on.

use super::{Emitter, here};
use crate::graph::{BlockId, End};
use crate::names::Var;
use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use std::collections::{BTreeMap, BTreeSet};

impl Emitter<'_> {
    /// Restores what is live if the function has just been resumed, and performs the operation of the suspension point `__block`.
    pub(super) fn suspended(&self, name: &TokenStream) -> TokenStream {
        let cx = self.cx;
        let live = self.live_at_points();
        let stored = || live.iter().filter(|&(&var, _)| self.bindings[var].shared.is_none());
        let to = Ident::new("__to", here());
        let from = Ident::new("__from", here());
        let save = stored().map(|(&var, at)| {
            let name = self.bindings[var].shown();
            self.saved(var, at, "save", false, &quote!(#to, #name))
        });
        let restore = stored().map(|(&var, at)| self.saved(var, at, "restore", true, &quote!(#from)));
        let rebuild = live.iter().filter_map(|(&var, at)| self.rebuild(var, at));
        let at_points: std::collections::BTreeSet<Var> = self
            .points_in_order()
            .flat_map(|point| self.graph.unneeded[point].whole.clone())
            .collect();
        let read = at_points.iter().map(|&var| {
            let (number, witness) = (var as u32, self.witness(var));
            quote_spanned!(here()=> #number => (&&&&&&&&#witness.probe()).kind().read(&#witness.probe(), #number, __from, __held),)
        });
        let (mut save_held, mut restore_held) = (None, None);
        if !at_points.is_empty() {
            save_held = Some(quote_spanned!(here()=> __held.save(__to)?;));
            restore_held = Some(quote_spanned! {here()=>
                __held.restore(__from, |__number, __from, __held| match __number {
                    #(#read)*
                    __other => ::core::result::Result::Err(::kappa::__private::held::unknown(__other)),
                })?;
            });
        }
        let perform = self.points_in_order().map(|point| {
            let (number, pending) = (self.arms[&point], self.pending(point));
            quote_spanned!(here()=> #number => #pending.perform(#cx, &__frame),)
        });
        quote_spanned! {here()=>
            let __at = __block;
            if let ::core::option::Option::Some(__frame) = __saved.take() {
                let __restored = (|__from: &mut ::kappa::__private::Reader<'_>| -> ::core::result::Result<(), ::kappa::__private::Unsaved> {
                    #(#restore)*
                    #restore_held
                    __from.end()
                })(&mut __frame.reader());
                if let ::core::result::Result::Err(__cause) = __restored {
                    #cx.unusable::<()>(#name, __cause).await;
                }
                #(#rebuild)*
            }
            let __live = |__to: &mut ::kappa::__private::Writer| -> ::core::result::Result<(), ::kappa::__private::Unsaved> {
                #(#save)*
                #save_held
                ::core::result::Result::Ok(())
            };
            let __frame = ::kappa::__private::Frame {
                caller: __caller,
                function: __FUNCTION,
                point: __at,
                live: &__live,
            };
            match __at {
                #(#perform)*
                _ => ::core::unreachable!("a suspension point that does not exist"),
            }
            .await;
        }
    }

    /// For each variable that is live at some suspension point: at which ones, by their numbers.
    fn live_at_points(&self) -> BTreeMap<Var, BTreeSet<u32>> {
        let mut live: BTreeMap<Var, BTreeSet<u32>> = BTreeMap::new();
        for point in self.points_in_order() {
            for &var in &self.graph.live_in[point] {
                live.entry(var).or_default().insert(self.arms[&point]);
            }
        }
        live
    }

    /// Saves or restores a variable at the points where it is live.
    fn saved(&self, var: Var, at: &BTreeSet<u32>, what: &str, changes: bool, with: &TokenStream) -> TokenStream {
        let (slot, span) = self.spanned_slot(var);
        // All of it with the variable's place: rustc shows an error where an argument begins.
        let slot = if changes {
            quote_spanned!(span=> &mut #slot)
        } else {
            quote_spanned!(span=> &#slot)
        };
        let is_auto = |&point: &BlockId| matches!(self.graph.blocks[point].end, End::Point { auto: true, .. });
        // Points of the user need it anyway.
        let only_auto = self
            .points_in_order()
            .filter(|point| at.contains(&self.arms[point]))
            .all(|point| is_auto(&point));
        let function = Ident::new(&format!("{what}{}", if only_auto { "_in_loop" } else { "" }), span);
        let pattern = numbers(at);
        let number = Ident::new("__at", here());
        quote_spanned!(span=> if let #pattern = #number { ::kappa::__private::#function(#slot, #with)?; })
    }

    /// Code that is never reached, and does not compile if a variable that is saved borrows text. It stands at the end, where the types are known.
    pub(super) fn probes(&self) -> TokenStream {
        let live = self.live_at_points();
        let saved = live.keys().filter(|&&var| self.bindings[var].shared.is_none());
        let probes = saved.map(|&var| {
            let (slot, span) = self.spanned_slot(var);
            quote_spanned! {span=>
                let __probe = ::kappa::__private::probe(&#slot);
                (&&__probe).itself().check();
                (&&__probe).first().check();
                (&&__probe).second().check();
            }
        });
        let goes = self.held.iter().map(|&var| {
            let (witness, span) = (self.witness(var), self.spanned_slot(var).1);
            quote_spanned! {span=>
                (&&&&&&&&#witness.probe())
                    .kind()
                    .goes(&#witness.probe(), const { ::kappa::__private::held::Goes::new() });
            }
        });
        quote_spanned! {here()=>
            #[allow(unused_imports)]
            use ::kappa::__private::{FirstBorrowed as _, ItselfBorrowed as _, NotBorrowed as _, SecondBorrowed as _};
            #(#probes)*
            #(#goes)*
        }
    }

    /// Makes a value of `cx.shared(..)` again.
    fn rebuild(&self, var: Var, at: &BTreeSet<u32>) -> Option<TokenStream> {
        let (make, uses) = self.bindings[var].shared.as_ref()?;
        let slots = &self.slots;
        let slot = self.slot(var);
        let uses: Vec<Var> = uses.iter().copied().filter(|var| slots.contains(var)).collect();
        let take = uses.iter().map(|&var| {
            let (slot, ident) = (self.slot(var), &self.bindings[var].ident);
            let mutable = self.bindings[var].mutable.then(|| quote!(mut));
            quote!(let #mutable #ident = ::kappa::__private::take(&mut #slot);)
        });
        let put = uses.iter().map(|&var| {
            let (slot, ident) = (self.slot(var), &self.bindings[var].ident);
            quote!(#slot = ::core::option::Option::Some(#ident);)
        });
        let pattern = numbers(at);
        Some(quote_spanned! {here()=>
            if let #pattern = __at {
                #(#take)*
                let __made = #make;
                #(#put)*
                #slot = ::core::option::Option::Some(__made);
            }
        })
    }
}

/// A pattern for these numbers, of ranges as long as possible.
fn numbers(at: &BTreeSet<u32>) -> TokenStream {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in at {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let ranges = ranges.into_iter().map(|(first, last)| match first == last {
        true => quote!(#first),
        false => quote!(#first..=#last),
    });
    quote!(#(#ranges)|*)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_become_a_range() {
        let text = numbers(&BTreeSet::from([1, 2, 3, 5, 7, 8])).to_string();
        assert_eq!(text.replace(' ', ""), "1u32..=3u32|5u32|7u32..=8u32");
    }
}
