//! Each guarantee of the coordinator is broken on purpose, by one line, and the [simulation] must notice: a check that never fails proves nothing.

use super::sabotage::{self, Sabotage};
use simulation::many::one;

#[path = "../../tests/simulation/world/mod.rs"]
#[allow(dead_code, reason = "tests/simulation and the example use more of it")]
mod simulation;

/// So many seeds are tried while nothing is broken.
const SEEDS: u64 = 3000;

/// So many seeds are enough to see each of them broken: most are seen within a few, failures that count for ever only after thousands.
const SEEDS_UNTIL_NOTICED: u64 = 20_000;

/// The first seed that notices, and what it says.
fn noticed(broken: Option<Sabotage>) -> Option<(u64, String)> {
    let seeds = broken.map_or(SEEDS, |_| SEEDS_UNTIL_NOTICED);
    sabotage::set(broken);
    let found = (0..seeds).find_map(|seed| {
        one(seed, false)
            .violations
            .into_iter()
            .next()
            .map(|first| (seed, first))
    });
    sabotage::set(None);
    found
}

fn assert_noticed(broken: Sabotage) {
    match noticed(Some(broken)) {
        Some((seed, violation)) => println!("{broken:?}: noticed by seed {seed}: {violation}"),
        None => panic!("{broken:?} is not noticed by {SEEDS_UNTIL_NOTICED} seeds"),
    }
}

#[test]
fn guarantee_0_nothing_is_noticed_while_nothing_is_broken() {
    assert_eq!(noticed(None), None);
}

#[test]
fn guarantee_1_a_simulation_notices_calls_that_take_effect_twice() {
    assert_noticed(Sabotage::Repeats);
}

#[test]
fn guarantee_1_a_simulation_notices_invocations_that_are_not_fenced() {
    assert_noticed(Sabotage::Unfenced);
}

#[test]
fn guarantee_2_a_simulation_notices_what_is_done_before_it_is_recorded() {
    assert_noticed(Sabotage::DoesBeforeRecording);
}

#[test]
fn guarantee_2_a_simulation_notices_a_call_without_its_checkpoint() {
    assert_noticed(Sabotage::LosesCheckpoint);
}

#[test]
fn guarantee_1_a_simulation_notices_invocations_whose_numbers_were_given_before_a_loss_of_power() {
    assert_noticed(Sabotage::RepeatsIncarnations);
}

#[test]
fn guarantee_2_a_simulation_notices_calls_that_belong_together_and_take_effect_by_half() {
    assert_noticed(Sabotage::HalvesGroups);
}

#[test]
fn guarantee_2_r24_a_simulation_notices_that_things_are_done_in_another_order_than_decided() {
    assert_noticed(Sabotage::ReordersActions);
}

#[test]
fn guarantee_2_a_simulation_notices_a_coordinator_that_was_paused_and_undoes_its_successors_work() {
    assert_noticed(Sabotage::DoesNotAsk);
}

#[test]
fn guarantee_3_a_simulation_notices_answers_that_are_forgotten() {
    assert_noticed(Sabotage::ForgetsAnswers);
}

#[test]
fn guarantee_3_a_simulation_notices_items_that_are_deleted_too_early() {
    assert_noticed(Sabotage::DeletesTaken);
}

#[test]
fn guarantee_4_a_simulation_notices_a_queue_that_is_not_first_in_first_out() {
    assert_noticed(Sabotage::LastInFirstOut);
}

#[test]
fn guarantee_4_a_simulation_notices_lost_items() {
    assert_noticed(Sabotage::LosesWaiting);
}

#[test]
fn guarantee_5_a_simulation_notices_blocked_tasks_that_are_kept() {
    assert_noticed(Sabotage::KeepsBlocked);
}

#[test]
fn guarantee_6_a_simulation_notices_failures_that_count_for_ever() {
    assert_noticed(Sabotage::NeverForgives);
}

#[test]
fn guarantee_6_a_simulation_notices_tasks_that_fail_because_the_store_is_away() {
    assert_noticed(Sabotage::BlamesStore);
}

#[test]
fn guarantee_6_a_simulation_notices_timers_that_wait_for_a_clock_behind() {
    assert_noticed(Sabotage::BelievesClock);
}

#[test]
fn guarantee_6_a_simulation_notices_deadlocks_that_nobody_reports() {
    assert_noticed(Sabotage::MissesDeadlocks);
}

#[test]
fn guarantee_7_a_simulation_notices_garbage_that_is_kept() {
    assert_noticed(Sabotage::KeepsGarbage);
}
