//! The whole runtime under every misfortune there is, decided by a seed. `cargo run --release -p kappa --example simulate` does the same for as many
//! seeds as you like.

mod processes;
#[path = "../redis/servers.rs"]
mod servers;
mod world;

use world::many::{many, one};
use world::{Report, Simulation, Trouble, simulate};

#[test]
fn twenty_thousand_seeds_break_no_guarantee() {
    let totals = many(0..20_000, 2);
    println!("{}", totals.summary());
    if let Some(seed) = totals.violating.first() {
        let report = one(*seed, true);
        println!("{}", report.history.join("\n"));
        panic!("seeds {:?}; {seed}: {:#?}", totals.violating, report.violations);
    }
    assert!(
        totals.faults > 50_000,
        "only {} faults: the test shows little",
        totals.faults
    );
    for (what, count) in &totals.happened {
        println!("{count:>9} {what}");
        assert!(*count > 500, "only {count} {what}");
    }
    assert!(totals.points.len() > 200, "only {} crash points", totals.points.len());
}

fn with(seed: u64, trouble: Trouble) -> Report {
    simulate(Simulation {
        seed,
        is_recorded: false,
        trouble,
    })
}

#[test]
fn a_coordinator_that_dies_before_or_after_any_write_to_its_journal_loses_nothing() {
    let mut deaths = 0;
    for seed in 0..20 {
        let calm = with(seed, Trouble::OneDeath(None));
        assert_eq!(calm.violations, Vec::<String>::new(), "seed {seed}");
        for write in 1..=calm.writes {
            for when in ["coordinator dies before", "coordinator dies after"] {
                let report = with(seed, Trouble::OneDeath(Some((write, when))));
                assert_eq!(
                    report.violations,
                    Vec::<String>::new(),
                    "seed {seed}, {when} write {write}"
                );
                deaths += 1;
            }
        }
    }
    println!("{deaths} deaths");
    assert!(deaths > 1000, "only {deaths}");
}

/// What the next test's child prints.
#[test]
fn histories_of_some_seeds() {
    for seed in 0..40 {
        println!("HISTORY {}", one(seed, true).history.join("\nHISTORY "));
    }
}

#[test]
fn the_same_seed_gives_the_same_history_in_every_process_byte_for_byte() {
    let histories = || {
        let child = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "histories_of_some_seeds", "--nocapture"])
            .output()
            .expect("a child");
        assert!(child.status.success());
        let text = String::from_utf8(child.stdout).expect("text");
        text.lines()
            .filter(|line| line.starts_with("HISTORY"))
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    let first = histories();
    assert!(first.len() > 2000, "only {} lines", first.len());
    assert_eq!(first, histories());
}
