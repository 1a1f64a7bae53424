use super::*;
use crate::ids::RunId;
use crate::protocol::InvocationOutcome;
use crate::record::history::tests::about;
use crate::usage::{Spent, Usage};
use proptest::prelude::*;
use std::time::Duration;

/// A price table in which each thing costs a power of ten, so that a sum shows its parts.
fn powers() -> Prices {
    Prices {
        name: "powers of ten".to_string(),
        currency: "X".to_string(),
        invocation: 1.0,
        gb_second: 10.0,
        gb_second_arm: Some(20.0),
        store_write: 100.0,
        store_read: 1000.0,
        redis_operation: 10_000.0,
    }
}

fn terms() -> Terms {
    Terms {
        architecture: Architecture::X86,
        ..Terms::of("aws", "s3://bucket")
    }
}

fn used() -> Totals {
    Totals {
        invocations: 2,
        billed_ms: 3000,
        limited_ms: 3000,
        mib_ms: 3000 * 1024,
        workers: Operations {
            puts: 2,
            gets: 1,
            ranges: 4,
            ..Operations::default()
        },
        coordinator: Operations {
            deletes: 7,
            lists: 1,
            gets: 1,
            ..Operations::default()
        },
        ..Totals::default()
    }
}

#[test]
fn every_part_has_its_own_price_and_deletions_are_free() {
    let cost = Cost::of(&used(), terms(), powers());
    let parts = [
        cost.for_invocations,
        cost.for_time,
        cost.for_writes,
        cost.for_reads,
        cost.for_redis,
    ];
    assert_eq!(parts, [2.0, 30.0, 300.0, 6000.0, 0.0]);
    assert_eq!(cost.total, 6332.0);
    assert_eq!((cost.seconds, cost.gb_seconds, cost.memory), (3.0, 3.0, 1 << 30));
    let arm = Terms {
        architecture: Architecture::Arm,
        ..terms()
    };
    assert_eq!(Cost::of(&used(), arm, powers()).for_time, 60.0);
    let only_x86 = Prices {
        gb_second_arm: None,
        ..powers()
    };
    assert_eq!(Cost::of(&used(), arm, only_x86).for_time, 30.0);
}

#[test]
fn operations_on_redis_are_no_requests_to_s3() {
    let redis = Terms {
        store: Terms::of("aws", "redis://a,redis://b").store,
        ..terms()
    };
    let cost = Cost::of(&used(), redis, powers());
    assert_eq!((cost.for_writes, cost.for_reads, cost.for_redis), (0.0, 0.0, 160_000.0));
    assert_eq!(Cost::of(&used(), redis, Prices::default()).for_redis, 0.0);
}

#[test]
fn with_a_memory_it_is_as_if_every_invocation_had_had_that() {
    let half = Terms {
        memory: Some(512 << 20),
        ..terms()
    };
    let cost = Cost::of(&used(), half, powers());
    assert_eq!((cost.gb_seconds, cost.memory), (1.5, 512 << 20));
    let nothing = Cost::of(&Totals::default(), terms(), powers());
    assert_eq!((nothing.total, nothing.memory), (0.0, DEFAULT_MEMORY));
}

#[test]
fn what_was_not_on_aws_would_only_have_cost_something() {
    for (platform, is_hypothetical) in [
        ("aws", false),
        ("aws with chaos", false),
        ("in-process", true),
        ("process with chaos", true),
        ("http", true),
        ("awsome", true),
    ] {
        assert_eq!(
            Terms::of(platform, "memory:").is_hypothetical,
            is_hypothetical,
            "{platform}"
        );
    }
    let real = Cost::of(&used(), terms(), powers());
    assert_eq!(
        real.in_short(false),
        "3.000 GB-seconds, 3 writes and 6 reads of the store, 6332.000000 X"
    );
    let would = Cost {
        is_hypothetical: true,
        ..real
    };
    assert_eq!(
        would.in_short(false),
        "3.000 GB-seconds, 3 writes and 6 reads of the store",
        "no money where none was spent"
    );
    assert!(
        would
            .in_short(true)
            .ends_with("; on AWS it would have cost 6332.000000 X")
    );
}

#[test]
fn the_record_that_knows_more_counts_and_one_without_usage_still_does() {
    let mut about = about(RunId::generate());
    about.memory_limit = Some(1 << 30);
    about.sums.invocations = 5;
    about.sums.billed_ms = 2000;
    about.sums.stored_checkpoints = 3;
    about.sums.stored_resumes = 1;
    let old = Cost::of_run(&about, terms(), powers());
    assert!(old.only_checkpoints);
    assert_eq!(old.total, 5.0 + 20.0 + 300.0 + 1000.0);

    about.sums.used = used();
    let interrupted = Cost::of_run(&about, terms(), powers());
    assert!(!interrupted.only_checkpoints);
    assert_eq!(interrupted.total, 6332.0);

    about.stats.used = used();
    about.stats.used.coordinator.lists += 1;
    assert_eq!(Cost::of_run(&about, terms(), powers()).total, 6432.0);
}

#[test]
fn a_run_json_of_before_is_read() {
    let mut value = serde_json::to_value(about(RunId::generate())).unwrap();
    for part in ["stats", "sums"] {
        assert!(value[part].as_object_mut().unwrap().remove("used").is_some());
    }
    let about: About = serde_json::from_value(value).unwrap();
    assert_eq!(about.stats.used, Totals::default());
    assert_eq!(Cost::of_run(&about, terms(), powers()).total, 0.0);
}

#[test]
fn a_table_is_read_as_it_is_printed_and_a_wrong_one_is_refused_with_the_reason_and_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.json");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Prices::read(&file)
    };
    for prices in [powers(), Prices::default()] {
        assert_eq!(read(&serde_json::to_string(&prices).unwrap()), Ok(prices));
    }
    let short = r#"{"name": "n", "currency": "C", "invocation": 1, "gb_second": 2, "store_write": 3, "store_read": 4}"#;
    let optional = read(short).unwrap();
    assert_eq!((optional.gb_second_arm, optional.redis_operation), (None, 0.0));
    for (text, reason) in [
        ("", "EOF"),
        ("{}", "missing field"),
        (&short.replace("gb_second", "gb_hour"), "unknown field `gb_hour`"),
        (&short.replace("2", "-2"), "negative"),
        (&short.replace("2", "\"2\""), "invalid type"),
        (&short.replace("}", r#", "gb_second_arm": -1}"#), "negative"),
    ] {
        let message = read(text).unwrap_err();
        assert!(
            message.contains("is no price table") && message.contains(reason) && message.contains("\"store_write\":"),
            "{text}: {message}"
        );
    }
    let nowhere = Prices::read(&folder.path().join("nowhere")).unwrap_err();
    assert!(nowhere.contains("cannot read the prices"), "{nowhere}");
}

prop_compose! {
    fn end()(
        ms in 0u64..1_000_000,
        mib in 0u64..10_240,
        puts in 0u64..1000,
        gets in 0u64..1000,
        lists in 0u64..10,
        on_coordinator in any::<bool>(),
    ) -> Spent {
        Spent {
            invocation: Some(Usage {
                billed_ms: ms,
                memory: mib << 20,
                store: Operations { puts, gets, ..Operations::default() },
            }),
            on_coordinator,
            coordinator: Operations { lists, ..Operations::default() },
            journal_writes: 1,
        }
    }
}

proptest! {
    #[test]
    fn the_cost_of_a_run_is_the_sum_of_the_costs_of_its_invocations(ends in prop::collection::vec(end(), 0..20)) {
        let mut all = Totals::default();
        let mut sum = 0.0;
        for spent in &ends {
            let mut one = Totals::default();
            for totals in [&mut all, &mut one] {
                totals.add(&InvocationOutcome::Returned, spent, Duration::ZERO);
            }
            sum += Cost::of(&one, terms(), Prices::default()).total;
        }
        let cost = Cost::of(&all, terms(), Prices::default());
        prop_assert!((cost.total - sum).abs() <= 1e-9 * sum.max(1.0), "{} {}", cost.total, sum);
        let parts = cost.for_invocations + cost.for_time + cost.for_writes + cost.for_reads + cost.for_redis;
        prop_assert!((cost.total - parts).abs() <= 1e-12 * parts.max(1.0));
        prop_assert_eq!(cost.invocations + cost.on_coordinator, ends.len() as u64);
    }
}
