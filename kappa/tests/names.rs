//! Two task functions of one name: a program that has them does not start, and says which they are.

use kappa::RunError;
use kappa::prelude::*;

fn first() -> TaskCall<impl kappa::task::TaskFunction<Value = u32>> {
    #[kappa::task]
    async fn step(_cx: &mut Context, n: u32) -> u32 {
        n + 1
    }
    step(1)
}

fn second() -> TaskCall<impl kappa::task::TaskFunction<Value = u32>> {
    #[kappa::task]
    async fn step(_cx: &mut Context, n: u32) -> u32 {
        n + 100
    }
    step(1)
}

#[kappa::task]
async fn another(_cx: &mut Context) -> u32 {
    1
}

fn names_both(said: &str) {
    let named = [
        "names::step",
        "names::first::step (",
        "names::second::step (",
        "tests/names.rs:",
    ];
    for name in named {
        assert!(said.contains(name), "{name} is not in: {said}");
    }
}

#[tokio::test]
async fn a_program_in_which_two_tasks_have_one_name_does_not_start_and_names_both() {
    let kappa = kappa::Kappa::builder().build().await.unwrap();
    for end in [
        kappa.run(first()).await,
        kappa.run(second()).await,
        kappa.run(another()).await,
    ] {
        let error = end.unwrap_err();
        assert!(matches!(error, RunError::Platform { .. }), "{error}");
        names_both(&error.to_string());
    }
}

#[test]
fn a_task_is_not_found_by_a_name_that_two_have() {
    let error = kappa::task::find("names::step")
        .map(|found| found.is_some())
        .unwrap_err();
    names_both(&error.to_string());
    assert!(kappa::task::find("names::another").unwrap().is_some());
    assert!(kappa::task::find("names::nobody").unwrap().is_none());
}
