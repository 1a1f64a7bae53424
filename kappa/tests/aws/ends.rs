//! How invocations end: the suite that every platform passes, and what only lambdas can do.

use crate::conformance;
use crate::emulator::{BUCKET, Emulator, http, outcome, platform, store};
use crate::inside;
use crate::tasks::{self, Yes, invocation};
use kappa::Context;
use kappa::platform::PlatformError;
use kappa::platform::aws::{Aws, AwsOptions};
use kappa::protocol::{Call, InvocationOutcome, Payload, Start};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::time::{Duration, Instant};

inside! {
    async fn the_aws_platform_conforms(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        conformance::check(platform("f", 2, Some(http())).await).await;
    }
}

inside! {
    async fn a_sandbox_stays_warm_and_two_at_once_are_two(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        let platform = platform("f", 2, Some(http())).await;
        let process = async || outcome(&platform, tasks::process_id()).await.1.value::<u32>();
        let first = process().await;
        assert_ne!(first, std::process::id());
        assert_eq!(process().await, first, "warm");
        let resting = outcome(&platform, tasks::endless(10));
        let other = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            process().await
        };
        tokio::select! {
            _ = resting => panic!("it is endless"),
            other = other => assert_ne!(other, first),
        }
    }
}

inside! {
    async fn a_lambda_that_fails_says_how_with_its_last_lines(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        let platform = platform("f", 2, Some(http())).await;
        let crash = async |outcome: (InvocationOutcome, Arc<Yes>)| match outcome.0 {
            InvocationOutcome::Crashed(message) => message,
            other => panic!("{other:?}"),
        };
        let message = crash(outcome(&platform, tasks::aborting()).await).await;
        assert!(message.contains("it said last: ") && message.contains("about to abort"), "{message}");
        let message = crash(outcome(&platform, tasks::leaving(3)).await).await;
        assert!(message.contains("about to leave"), "{message}");
        let message = crash(outcome(&platform, tasks::printing()).await).await;
        assert!(message.contains("said on stdout"), "{message}");
        let message = crash(outcome(&platform, tasks::talking()).await).await;
        assert!(message.ends_with("last line") && message.len() < 4000, "{message}");
        let message = crash(outcome(&platform, sighing()).await).await;
        assert!(message.contains("no more") && message.contains("ends.rs:") && message.contains("it was too much"), "{message}");
        assert_eq!(outcome(&platform, tasks::well_behaved(1)).await.0, InvocationOutcome::Returned);
    }
}

/// Says something, and panics.
#[kappa::task]
async fn sighing(_cx: &mut Context) -> u32 {
    println!("it was too much");
    panic!("no more")
}

inside! {
    async fn a_lambda_that_is_killed_is_no_failure_of_the_program(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        let platform = platform("f", 2, Some(http())).await;
        // What starting says is told with the first invocation.
        assert_eq!(outcome(&platform, tasks::well_behaved(1)).await.0, InvocationOutcome::Returned);
        let (outcome, _) = outcome(&platform, tasks::killing_itself(Signal::SIGKILL as i32)).await;
        assert!(matches!(outcome, InvocationOutcome::Killed(_)), "{outcome:?}");
    }
}

/// Has less and less memory, until there is none. (The emulator limits nothing.)
#[kappa::task]
async fn starving(_cx: &mut Context) -> usize {
    setrlimit(Resource::RLIMIT_DATA, 256 << 20, 256 << 20).unwrap();
    let mut blocks = Vec::new();
    loop {
        blocks.push(vec![1u8; 16 << 20]);
        std::hint::black_box(&blocks);
        assert!(blocks.len() < 500, "there is no limit");
    }
}

inside! {
    async fn a_lambda_without_memory_is_seen_as_one(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        let platform = platform("f", 2, Some(http())).await;
        assert_eq!(platform.memory_limit(), Some(256 << 20));
        let (outcome, _) = outcome(&platform, starving()).await;
        assert!(
            matches!(&outcome, InvocationOutcome::OutOfMemory(said) if said.starts_with("memory allocation of")),
            "{outcome:?}"
        );
    }
}

inside! {
    async fn time_limits_are_kept_by_whoever_can(emulator: Emulator) {
        emulator.make_this("f", 2).await;
        let platform = platform("f", 4, Some(http())).await;
        assert_eq!(platform.time_limit(), Some(Duration::from_millis(1800)));

        // The task makes calls: it leaves in time, and its sandbox stays.
        let before = outcome(&platform, tasks::process_id()).await.1.value::<u32>();
        let (ended, link) = outcome(&platform, tasks::endless(10)).await;
        assert_eq!(ended, InvocationOutcome::TimedOut);
        assert!(link.count() > 10, "{}", link.count());
        assert_eq!(outcome(&platform, tasks::process_id()).await.1.value::<u32>(), before, "warm");

        // It makes none and never pauses: the lambda ends itself.
        let started = Instant::now();
        assert_eq!(outcome(&platform, tasks::hogging()).await.0, InvocationOutcome::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());

        // The lambda cannot do anything at all: Lambda ends it.
        let (ended, _) = outcome(&platform, tasks::killing_itself(Signal::SIGSTOP as i32)).await;
        assert_eq!(ended, InvocationOutcome::TimedOut);
        assert_ne!(outcome(&platform, tasks::process_id()).await.1.value::<u32>(), before);
    }
}

inside! {
    async fn a01_what_lambda_does_not_carry_goes_through_the_store(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        // There is no way back but the report.
        let platform = platform("f", 2, None).await;
        let text = "long ".repeat(1_400_000);
        let (ended, link) = outcome(&platform, measuring(text.clone())).await;
        let InvocationOutcome::Unlinked(request) = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(link.count(), 0);
        let Call::Exit(Ok(Payload::Inline(value))) = request.call else {
            panic!("{:?}", request.call)
        };
        assert_eq!(postcard::from_bytes::<usize>(&value).unwrap(), text.len());

        let (ended, _) = outcome(&platform, tasks::fanning_out(200, 50_000)).await;
        let InvocationOutcome::Unlinked(request) = ended else {
            panic!("{ended:?}")
        };
        assert!(matches!(&request.call, Call::Spawn(specs) if specs.len() == 200), "{}", request.sequence);
        assert_eq!(left_in_the_bucket(&emulator).await, "", "what was carried by the store is gone");
    }
}

#[kappa::task]
async fn measuring(_cx: &mut Context, text: String) -> usize {
    text.len()
}

/// The keys of the objects that are there.
async fn left_in_the_bucket(emulator: &Emulator) -> String {
    let listed = reqwest::get(format!("{}/{BUCKET}?list-type=2", emulator.endpoint()))
        .await
        .unwrap();
    let listed = listed.text().await.unwrap();
    let keys = listed
        .split("<Key>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap_or_default());
    keys.collect::<Vec<_>>().join(" ")
}

inside! {
    async fn without_room_an_invocation_is_throttled(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        let platform = platform("f", 4, Some(http())).await;
        emulator.reserve("f", 0).await;
        let (ended, link) = outcome(&platform, tasks::well_behaved(1)).await;
        assert!(
            matches!(&ended, InvocationOutcome::Throttled(said) if said.contains("TooManyRequestsException")),
            "{ended:?}"
        );
        assert_eq!(link.count(), 0);
        emulator.reserve("f", 1).await;
        assert_eq!(outcome(&platform, tasks::well_behaved(1)).await.0, InvocationOutcome::Returned);
    }
}

inside! {
    async fn what_cannot_be_used_is_said_before_anything_runs(emulator: Emulator) {
        let refused = async |function: &str| match Aws::new(AwsOptions::new(function), &store()).await {
            Ok(_) => panic!("it was taken"),
            Err(PlatformError::Invalid(said)) => said,
            Err(other) => panic!("{other:?}"),
        };
        let said = refused("missing").await;
        assert!(said.contains("no function `missing`") && said.contains("kappa deploy"), "{said}");

        // A program for another processor, as far as the system can tell.
        emulator.make("arm", b"\x7fELF\x02\x01\x01 no program of this machine's", 5).await;
        let said = refused("arm").await;
        assert!(said.contains("`arm` (x86_64)") && said.contains("arm64"), "{said}");

        let broken = "#!/bin/sh\necho \"/var/task/bootstrap: version \\`GLIBC_2.99' not found\" >&2\nexit 1\n";
        emulator.make("newer", broken.as_bytes(), 5).await;
        let said = refused("newer").await;
        assert!(said.contains("GLIBC_2.99"), "{said}");

        // Another program made with Kappa: it has other tasks.
        let other = std::fs::read(crate::word_count::example()).unwrap();
        emulator.make("other", &other, 20).await;
        let said = refused("other").await;
        assert!(said.contains("another program, or another version"), "{said}");
    }
}

inside! {
    async fn an_order_that_names_another_program_is_not_carried_out(emulator: Emulator) {
        emulator.make_this("f", 20).await;
        let event = r#"{"kappa": {"order": {"program": "0.0.0-of-yesterday", "order": "AAAA"}}}"#;
        let answer = emulator.invoke("f", event).await;
        assert!(answer.contains("unusable") && answer.contains("0.0.0-of-yesterday"), "{answer}");
        let answer = emulator.invoke("f", r#"{"key1": "value1"}"#).await;
        assert!(answer.contains("unusable") && answer.contains("--platform aws"), "{answer}");
    }
}

inside! {
    async fn an_order_whose_arguments_are_lost_stops_the_run_and_is_not_the_lambda_s_failure(emulator: Emulator) {
        emulator.make_this("f", 20).await;
        let platform = platform("f", 1, Some(http())).await;
        let link = Arc::new(Yes::default());
        let mut lost = invocation(tasks::well_behaved(1));
        lost.start = Start::Begin(Payload::Stored { key: "runs/gone".into(), length: 7 });
        let ended = platform.invoke(lost, link).await;
        assert!(matches!(&ended, InvocationOutcome::NeedsRepair(said) if said.contains("runs/gone")), "{ended:?}");
        assert_eq!(outcome(&platform, tasks::well_behaved(1)).await.0, InvocationOutcome::Returned);
    }
}
