//! Makes random programs, runs each as plain Rust and as a task from each of its checkpoints, and compares.

use anyhow::Context as _;
use clap::Parser;
use kappa_random_programs::batch::{self, Toolchain, Verdict};
use kappa_random_programs::case::Case;
use kappa_random_programs::program::{Theme, program, without};
use kappa_random_programs::shrink::shrink;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Random programs for the continuation compiler: each is run as plain Rust and as a task, straight and from each of its checkpoints. Results, drops and
/// effects must be the same. The exit code is 1 if a program differs, or is no Rust.
#[derive(Parser)]
struct Options {
    /// How many programs.
    #[arg(long, default_value_t = 300)]
    programs: usize,
    /// Of the first program; the others have the seeds that follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints the program of this seed, and does nothing else.
    #[arg(long, value_name = "SEED")]
    show: Option<u64>,
    /// Runs the programs in this folder's files `NAME.case` instead.
    #[arg(long, value_name = "FOLDER")]
    cases: Option<PathBuf>,
    /// Asks only whether plain Rust takes the programs.
    #[arg(long)]
    plain: bool,
    /// Leaves out the themes of which programs are known to differ.
    #[arg(long)]
    held: bool,
    /// How many programs are compiled as one.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// How many batches are compiled at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// How many of the programs that differ are made small before they are printed.
    #[arg(long, default_value_t = 4)]
    shrink: usize,
    /// Prints the seeds of the refused programs, too.
    #[arg(long)]
    refused: bool,
}

impl Options {
    fn without(&self) -> Vec<Theme> {
        if self.held {
            without::NOT_YET.to_vec()
        } else {
            without::NONE.to_vec()
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Some(seed) = options.show {
        print!("{}", program(seed, &options.without()).text());
        return Ok(ExitCode::SUCCESS);
    }
    let programs = match &options.cases {
        Some(folder) => cases(folder)?,
        None => (0..options.programs)
            .map(|number| program(options.seed.wrapping_add(number as u64), &options.without()))
            .collect(),
    };
    let own = std::env::current_exe()?;
    let scratch = own
        .parent()
        .unwrap_or(Path::new("."))
        .join("random-programs")
        .join(std::process::id().to_string());
    let answer = run(&options, &programs, &scratch);
    // What is left is only in the way.
    let _ = std::fs::remove_dir_all(&scratch);
    answer
}

/// The cases of a folder, by name.
fn cases(folder: &Path) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "case") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            cases.push(Case::parse(&name, &std::fs::read_to_string(&path)?).map_err(anyhow::Error::msg)?);
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

fn run(options: &Options, programs: &[Case], scratch: &Path) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let toolchain = Toolchain::find(&scratch.join("probe"))?;
    if options.plain {
        let invalid = batch::invalid(&toolchain, scratch, programs)?;
        for (number, reason) in &invalid {
            println!("{} is no Rust: {reason}", programs[*number].name);
        }
        println!("{} programs: {} are no Rust", programs.len(), invalid.len());
        return Ok(if invalid.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let progress = |done| eprintln!("{done} of {} programs, {} s", programs.len(), start.elapsed().as_secs());
    let verdicts = batch::run_all(&toolchain, scratch, programs, options.batch, options.jobs, progress)?;
    tell(options, programs, &verdicts, &toolchain, scratch)
}

fn tell(
    options: &Options,
    programs: &[Case],
    verdicts: &[Verdict],
    toolchain: &Toolchain,
    scratch: &Path,
) -> anyhow::Result<ExitCode> {
    let (mut checkpoints, mut differ, mut invalid) = (0, 0, 0);
    let mut refused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (program, verdict) in programs.iter().zip(verdicts) {
        match verdict {
            Verdict::Same(resumed) => checkpoints += resumed,
            Verdict::Differs(resumed, problem) => {
                checkpoints += resumed;
                differ += 1;
                if differ <= options.shrink {
                    eprintln!("making {} small", program.name);
                    let (small, problem) = shrink(toolchain, &scratch.join("shrink"), program, problem)?;
                    println!("{} differs: {problem}\n{}", program.name, small.text());
                } else {
                    println!("{} differs: {problem}\n", program.name);
                }
            }
            Verdict::Refused(reason) => refused.entry(reason).or_default().push(&program.name),
            Verdict::Invalid(reason) => {
                invalid += 1;
                println!("{} is no Rust: {reason}\n", program.name);
            }
        }
    }
    let mut reasons: Vec<_> = refused.iter().collect();
    reasons.sort_by_key(|(_, programs)| std::cmp::Reverse(programs.len()));
    for (reason, programs) in &reasons {
        println!("refused {}: {reason}", programs.len());
        if options.refused {
            println!("    {}", programs.join(" "));
        }
    }
    let points: usize = programs.iter().map(Case::points).sum();
    let all_refused: usize = refused.values().map(Vec::len).sum();
    if invalid > 0 {
        println!("{invalid} programs are no Rust: the generator is wrong");
    }
    println!(
        "{} programs, {points} points, {checkpoints} checkpoints: {differ} differ; {all_refused} refused (reasons listed)",
        programs.len()
    );
    Ok(if differ + invalid > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
