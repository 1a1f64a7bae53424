//! What invocations use is summed up from their ends, each once.

use super::*;
use crate::usage::{Operations, Totals, Usage};

fn spent(billed_ms: u64, puts: u64, deletes: u64) -> Spent {
    let operations = Operations::default();
    Spent {
        invocation: Some(Usage {
            billed_ms,
            memory: 512 << 20,
            store: Operations { puts, ..operations },
        }),
        coordinator: Operations { deletes, ..operations },
        journal_writes: 1,
        on_coordinator: false,
    }
}

fn end(bench: &mut Bench, task: u64, incarnation: Incarnation, spent: Spent) -> Vec<Action> {
    bench.apply(Event::InvocationEnded {
        task: TaskId(task),
        incarnation,
        outcome: InvocationOutcome::Returned,
        spent,
    })
}

#[test]
fn the_end_of_an_invocation_adds_what_it_used_and_a_second_report_of_it_nothing() {
    let (mut bench, _) = Bench::new(4);
    bench.spawn_children(1);
    bench.request(1, 0, 1, Call::Exit(Ok(Payload::Inline(Bytes::new()))));
    let actions = end(&mut bench, 1, 0, spent(7, 3, 2));
    let told = actions.iter().find_map(|action| match action {
        Action::Observed(RunEvent::InvocationEnded { spent, .. }) => Some(*spent),
        _ => None,
    });
    assert_eq!(told, Some(spent(7, 3, 2)), "whoever watches is told");
    let expected = Totals {
        invocations: 1,
        billed_ms: 7,
        limited_ms: 7,
        mib_ms: 7 * 512,
        workers: Operations {
            puts: 3,
            ..Operations::default()
        },
        coordinator: Operations {
            deletes: 2,
            ..Operations::default()
        },
        journal_writes: 1,
        ..Totals::default()
    };
    assert_eq!(bench.state.stats().used, expected);
    end(&mut bench, 1, 0, spent(7, 3, 2));
    let used = bench.state.stats().used;
    assert_eq!((used.invocations, used.workers.puts), (1, 3));
    assert_eq!(
        used.coordinator.deletes, 4,
        "the coordinator has done that all the same"
    );
}

#[test]
fn an_invocation_whose_platform_tells_nothing_is_billed_from_its_start_to_its_end() {
    let (mut bench, _) = Bench::new(4);
    bench.pass(Duration::from_micros(1500));
    bench.end(0, 0, InvocationOutcome::Killed("chaos".to_string()));
    let used = bench.state.stats().used;
    assert_eq!((used.invocations, used.billed_ms, used.cut_off), (1, 2, 1));
}

#[test]
fn invocations_that_went_with_their_coordinator_are_billed_up_to_the_last_that_is_known_of_it() {
    let (mut bench, _) = Bench::new(4);
    bench.pass(Duration::from_millis(30));
    bench.spawn_children(1);
    bench.pass(Duration::from_millis(12));
    // The night passes.
    bench.now = bench.now.after(Duration::from_secs(30_000));
    bench.crash();
    let used = bench.state.stats().used;
    assert_eq!((used.invocations, used.cut_off, used.billed_ms), (2, 2, 42 + 12));
    end(&mut bench, 0, 0, spent(99, 1, 0));
    assert_eq!(bench.state.stats().used.billed_ms, 54, "it has been counted");
    end(&mut bench, 0, 1, spent(5, 1, 0));
    assert_eq!(bench.state.stats().used.billed_ms, 59);
}
