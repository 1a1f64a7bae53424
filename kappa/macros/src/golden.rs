//! What becomes of small functions: tests of the lowering, from tokens to tokens.

use crate::task;
use quote::quote;

/// The body of the generated state machine, without spaces.
fn body(function: proc_macro2::TokenStream) -> String {
    let function = syn::parse2(function).unwrap();
    let text = task::expand(function, false).unwrap().to_string();
    let text: String = text.split_whitespace().collect();
    text.split_once("__body(").unwrap().1.to_string()
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[test]
fn one_await_serves_all_suspension_points() {
    let text = body(quote! {
        async fn f(cx: &mut Context, n: u64) -> u64 {
            let a = cx.call(one(n)).await;
            let b = cx.call(one(a)).await;
            let c = cx.call(one(b)).await;
            a + b + c
        }
    });
    assert_eq!(count(&text, "perform("), 3, "{text}");
    assert_eq!(count(&text, "}.await;"), 1, "{text}");
    // Each variable is saved at one place, for all points at which it is live.
    assert_eq!(count(&text, "::save(&__slot"), 2, "{text}");
    assert!(
        text.contains("iflet2u32..=3u32=__at{::kappa::__private::save(&__slot2"),
        "{text}"
    );
}

#[test]
fn variables_keep_their_names_and_texts_in_macros_are_left_alone() {
    let text = body(quote! {
        async fn f(cx: &mut Context, n: u64) -> String {
            let x = n;
            cx.checkpoint().await;
            let x = unknown!("{x}", x = x);
            cx.checkpoint().await;
            x
        }
    });
    assert!(text.contains("letx=unknown!(\"{x}\",x=x)"), "{text}");
    assert!(!text.contains("x_2"), "{text}");
}

#[test]
fn what_is_live_is_saved_and_what_is_not_is_not() {
    let text = body(quote! {
        async fn f(cx: &mut Context, mut n: u64) -> u64 {
            let unused = n + 1;
            drop(unused);
            cx.checkpoint().await;
            n = 7;
            cx.checkpoint().await;
            n
        }
    });
    // The first value of `n` is not needed behind the first point.
    assert_eq!(count(&text, "::save(&__slot"), 1, "{text}");
    assert!(
        text.contains("iflet2u32=__at{::kappa::__private::save(&__slot0"),
        "{text}"
    );
}

#[test]
fn a_value_that_is_not_mentioned_any_more_is_offered_to_be_held() {
    let text = body(quote! {
        async fn f(cx: &mut Context) {
            let guard = lock();
            cx.checkpoint().await;
            let moved = lock();
            drop(moved);
            cx.checkpoint().await;
        }
    });
    assert_eq!(count(&text, ".kind().hold(guard,"), 1, "{text}");
    assert_eq!(count(&text, ".kind().hold(moved,"), 0, "{text}");
}

#[test]
fn a_guard_with_a_suspension_point_is_tried_for_each_alternative() {
    let text = body(quote! {
        async fn f(cx: &mut Context, n: u64) -> u64 {
            match (n, n + 1) { (x, _) | (_, x) if cx.call(even(x)).await => x, _ => 0 }
        }
    });
    assert_eq!(count(&text, "perform("), 2, "{text}");
    assert!(text.contains("(x,_)=>{") && text.contains("(_,x)=>{"), "{text}");
}

#[test]
fn an_operand_that_a_later_one_may_change_is_copied_if_it_can_be() {
    let text = body(quote! {
        async fn f(cx: &mut Context, mut v: Vec<u64>) -> bool {
            v[0] == cx.call(one(v.remove(0))).await
        }
    });
    assert!(text.contains("Operand(&v[0])).copied()"), "{text}");
}

#[test]
fn a_temporary_value_that_lives_across_a_suspension_point_gets_a_name_to_the_end_of_its_statement_or_is_asked_for_its_type()
 {
    let text = body(quote! {
        async fn f(cx: &mut Context, n: u64) -> u64 {
            let a = make(n).name.len() + cx.call(one(n)).await;
            match (1, make(n)) {
                (1, _) => cx.checkpoint().await,
                _ => {}
            }
            if let Some(x) = make(n).finish() {
                cx.checkpoint().await;
            }
            a
        }
    });
    assert!(text.contains("=make(n);"), "{text}");
    assert!(text.contains(".name.len();"), "{text}");
    assert!(text.contains("=(1,make(n));"), "{text}");
    assert_eq!(count(&text, "Fleeting::new()"), 1, "{text}");
    assert!(text.contains("match(make(n)){__asked=>"), "{text}");
}

#[test]
fn what_is_written_as_a_number_or_a_text_is_not_held() {
    let text = body(quote! {
        async fn f(cx: &mut Context, n: u64) -> u64 {
            let m = n + 1;
            let text = format!("{m}");
            cx.checkpoint().await;
            n
        }
    });
    assert_eq!(count(&text, ".hold("), 0, "{text}");
}
