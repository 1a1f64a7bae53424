//! The property: any program, resumed from any of its checkpoints, gives what plain Rust gives, and the same is dropped and done in the same order.

use kappa_random_programs::batch::{self, Toolchain, Verdict};
use kappa_random_programs::case::Case;
use kappa_random_programs::program::{program, without};
use std::collections::BTreeMap;
use std::path::Path;

/// Programs that are compiled at a time.
const BATCH: usize = 75;
const JOBS: usize = 2;

fn verdicts(programs: &[Case]) -> Vec<Verdict> {
    let scratch = tempfile::tempdir().unwrap();
    let toolchain = Toolchain::find(scratch.path()).unwrap();
    batch::run_all(&toolchain, scratch.path(), programs, BATCH, JOBS, |_| {}).unwrap()
}

/// The cases in the folder `cases`, by name.
fn cases() -> Vec<Case> {
    // Where it is now: a binary that was built in another checkout may be taken for this one's.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let folder = Path::new(&package).join("cases");
    let files = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut cases: Vec<Case> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Case::parse(&name, &std::fs::read_to_string(&path).unwrap()).unwrap()
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

#[test]
fn random_programs_resumed_from_every_checkpoint_give_what_plain_rust_gives() {
    let programs: Vec<Case> = (0..300).map(|seed| program(seed, &without::NOT_YET)).collect();
    let refused = none_differs(&programs, 2000);
    // Every second one, as many have structs that are moved in part: whether the rest has a destructor is not known.
    assert!(refused * 5 < programs.len() * 3, "{refused} programs are refused");
}

#[test]
fn destructors_run_when_plain_rust_runs_them_or_the_program_is_refused() {
    let programs: Vec<Case> = (1..101).map(|seed| program(seed, &without::NONE)).collect();
    let refused = none_differs(&programs, 1000);
    assert!(refused * 5 < programs.len() * 3, "{refused} programs are refused");
}

/// How many are refused.
fn none_differs(programs: &[Case], least_checkpoints: usize) -> usize {
    let verdicts = verdicts(programs);
    let (mut checkpoints, mut refused, mut problems) = (0, 0, String::new());
    for (program, verdict) in programs.iter().zip(&verdicts) {
        match verdict {
            Verdict::Same(resumed) => checkpoints += resumed,
            Verdict::Refused(_) => refused += 1,
            other => problems += &format!("{}: {other:?}\n{}\n", program.name, program.text()),
        }
    }
    assert!(problems.is_empty(), "{problems}");
    assert!(checkpoints > least_checkpoints, "only {checkpoints} checkpoints");
    refused
}

#[test]
fn programs_written_by_hand_give_what_plain_rust_gives_or_are_refused() {
    let cases = cases();
    assert!(cases.len() > 80, "only {} cases", cases.len());
    // A line `NAME: what was said` for each that may be refused. (What is said is tested with the messages of the compiler.)
    let refused: BTreeMap<&str, &str> = include_str!("../cases/refused.txt")
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let mut problems = String::new();
    for (case, verdict) in cases.iter().zip(verdicts(&cases)) {
        let is_right = match &verdict {
            Verdict::Same(_) => true,
            Verdict::Refused(_) => refused.contains_key(case.name.as_str()),
            Verdict::Differs(..) | Verdict::Invalid(_) => false,
        };
        if !is_right {
            problems += &format!("{}: {verdict:?}\n", case.name);
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn a_program_that_differs_is_refused_or_is_no_rust_is_told_from_one_that_gives_the_same() {
    let case = |name: &str, body: &str| {
        let tasks = format!("#[kappa::task] async fn f(cx: &mut Context, n: u32) -> u32 {{\n{body}\n}}\n");
        Case {
            name: name.into(),
            tasks,
            tests: "same!(f(3), 1);".into(),
            ..Case::default()
        }
    };
    let programs = [
        case("same", "cx.checkpoint().await; n + 1"),
        // What only one of the twins is told.
        case(
            "differs",
            "cx.checkpoint().await; n + cx.incarnation() as u32 + std::any::type_name_of_val(cx).len() as u32",
        ),
        case(
            "refused",
            "let text = \"abc\".chars(); cx.checkpoint().await; text.count() as u32 + n",
        ),
        case("invalid", "cx.checkpoint().await; missing"),
        case("ends", "cx.checkpoint().await; std::process::exit(3)"),
        case("after", "cx.checkpoint().await; n + 2"),
    ];
    let verdicts = verdicts(&programs);
    assert_eq!(verdicts[0], Verdict::Same(1));
    assert!(
        matches!(&verdicts[1], Verdict::Differs(1, problem) if problem.contains("instead of")),
        "{verdicts:?}"
    );
    assert!(matches!(&verdicts[2], Verdict::Refused(_)), "{verdicts:?}");
    assert!(
        matches!(&verdicts[3], Verdict::Invalid(reason) if reason.contains("missing")),
        "{verdicts:?}"
    );
    assert!(
        matches!(&verdicts[4], Verdict::Differs(0, problem) if problem.contains("ends the process")),
        "{verdicts:?}"
    );
    assert_eq!(verdicts[5], Verdict::Same(1));
}
