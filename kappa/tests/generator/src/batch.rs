//! Compiles many programs as one executable and runs it.
//!
//! `rustc` is called without cargo, with the libraries that this very library was built with, so that nothing is built twice. A program that does not
//! compile is found by the places in rustc's messages, left out, and the rest is compiled again.

use crate::case::Case;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

mod diagnostics;

/// A program that takes longer does not end.
const PATIENCE: Duration = Duration::from_secs(180);

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gave the same, straight and from each of so many checkpoints.
    Same(usize),
    /// It gave something else; from so many checkpoints, and what.
    Differs(usize, String),
    /// Plain Rust takes it, but as a task it does not compile: the first line of the first error.
    Refused(String),
    /// It is no Rust: the fault of who wrote the program.
    Invalid(String),
}

/// Libraries to link with.
#[derive(Debug)]
pub struct Toolchain {
    rustc: PathBuf,
    dependencies: PathBuf,
    externs: Vec<(String, PathBuf)>,
}

/// What programs mention by name.
const EXTERNS: [&str; 10] = [
    "kappa",
    "anyhow",
    "bytes",
    "futures",
    "postcard",
    "serde",
    "serde_json",
    "tokio",
    "tempfile",
    "tracing",
];

impl Toolchain {
    /// Finds the libraries beside the running executable, where cargo has put them.
    ///
    /// # Errors
    /// This is not an executable that cargo has built, or rustc does not run.
    pub fn find(scratch: &Path) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let folder = own.parent().unwrap_or(Path::new("."));
        let dependencies = match folder.ends_with("deps") {
            true => folder.to_path_buf(),
            false => folder.join("deps"),
        };
        let newest = fs::read_dir(&dependencies)?
            .flatten()
            .filter(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.starts_with("libkappa_random_programs") && name.ends_with(".rlib")
            })
            .max_by_key(|entry| entry.metadata().and_then(|metadata| metadata.modified()).ok());
        let library = newest
            .ok_or_else(|| {
                anyhow::anyhow!(
                    "{} has no libkappa_random_programs: run this by cargo",
                    dependencies.display()
                )
            })?
            .path();
        let mut toolchain = Toolchain {
            rustc: std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()).into(),
            dependencies,
            externs: vec![("kappa_random_programs".to_string(), library)],
        };
        toolchain.externs.extend(toolchain.linked(scratch)?);
        Ok(toolchain)
    }

    /// The libraries that this library was compiled with: those which rustc gives to the linker.
    fn linked(&self, scratch: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
        fs::create_dir_all(scratch)?;
        let source = scratch.join("probe.rs");
        fs::write(&source, "fn main() { kappa_random_programs::support::report(&[]) }\n")?;
        let output = self
            .rustc(&source, &scratch.join("probe"))
            .args(["--print", "link-args"])
            .output()?;
        anyhow::ensure!(
            output.status.success(),
            "rustc cannot link a program with {}:\n{}",
            self.externs[0].1.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let mut found = BTreeMap::new();
        for word in String::from_utf8_lossy(&output.stdout).split('"') {
            let path = Path::new(word);
            let name = path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            let name = name
                .strip_prefix("lib")
                .unwrap_or("")
                .rsplit_once('-')
                .map_or("", |(name, _)| name);
            if EXTERNS.contains(&name) && path.extension().is_some_and(|extension| extension == "rlib") {
                found.insert(name.to_string(), path.to_path_buf());
            }
        }
        let missing: Vec<_> = EXTERNS.iter().filter(|name| !found.contains_key(**name)).collect();
        anyhow::ensure!(missing.is_empty(), "rustc does not say where {missing:?} are");
        Ok(found.into_iter().collect())
    }

    fn rustc(&self, source: &Path, to: &Path) -> Command {
        let mut command = Command::new(&self.rustc);
        command.args([
            "--edition",
            "2024",
            "--crate-name",
            "programs",
            "--cap-lints",
            "allow",
            "-Cdebug-assertions=on",
        ]);
        command.arg(source).arg("-o").arg(to);
        command
            .arg("-L")
            .arg(format!("dependency={}", self.dependencies.display()));
        for (name, path) in &self.externs {
            command.arg("--extern").arg(format!("{name}={}", path.display()));
        }
        command
    }
}

/// Compiles and runs programs, and says of each what became of it. Writes into `folder`, which is made new.
///
/// # Errors
/// Files cannot be written, or rustc does not run.
pub fn run(toolchain: &Toolchain, folder: &Path, programs: &[Case]) -> anyhow::Result<Vec<Verdict>> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (number, program) in programs.iter().enumerate() {
        fs::write(folder.join(file(number)), program.module())?;
        fs::write(folder.join(format!("plain_{}", file(number))), program.plain_only())?;
    }
    let batch = Batch { toolchain, folder };
    let mut verdicts: Vec<Option<Verdict>> = vec![None; programs.len()];
    batch.compile_and_run((0..programs.len()).collect(), &mut verdicts)?;
    let refused = |number: &usize| matches!(verdicts[*number], Some(Verdict::Refused(_)));
    let refused: Vec<usize> = (0..programs.len()).filter(refused).collect();
    for (number, reason) in batch.invalid(refused)? {
        verdicts[number] = Some(Verdict::Invalid(reason));
    }
    let verdicts = verdicts
        .into_iter()
        .map(|verdict| verdict.ok_or_else(|| anyhow::anyhow!("a program was not run")));
    verdicts.collect()
}

fn file(number: usize) -> String {
    format!("p{number}.rs")
}

struct Batch<'a> {
    toolchain: &'a Toolchain,
    folder: &'a Path,
}

impl Batch<'_> {
    fn compile_and_run(&self, mut active: Vec<usize>, verdicts: &mut [Option<Verdict>]) -> anyhow::Result<()> {
        while !active.is_empty() {
            let mut root = String::from("#![allow(warnings)]\n");
            let mut list = String::new();
            for number in &active {
                let _ = writeln!(root, "mod p{number};");
                let _ = write!(list, "(\"{number}\", p{number}::check as fn()), ");
            }
            let _ = writeln!(
                root,
                "fn main() {{ kappa_random_programs::support::report(&[{list}]) }}"
            );
            let (source, program) = (self.folder.join("main.rs"), self.folder.join("programs"));
            fs::write(&source, root)?;
            let output = self
                .toolchain
                .rustc(&source, &program)
                .arg("--error-format=json")
                .output()?;
            if output.status.success() {
                let answer = self.execute(&program, &active, verdicts);
                fs::remove_file(&program)?;
                return answer;
            }
            let messages = String::from_utf8_lossy(&output.stderr);
            let refused = diagnostics::by_file(&messages, |name| {
                active.iter().copied().find(|number| file(*number) == name)
            });
            if refused.is_empty() {
                // An error without a place in a program, such as one of the linker: the half that has it is looked for.
                if let [single] = active[..] {
                    verdicts[single] = Some(Verdict::Refused(diagnostics::first(&messages)));
                    return Ok(());
                }
                let rest = active.split_off(active.len() / 2);
                self.compile_and_run(rest, verdicts)?;
                continue;
            }
            active.retain(|number| !refused.contains_key(number));
            for (number, reason) in refused {
                verdicts[number] = Some(Verdict::Refused(reason));
            }
        }
        Ok(())
    }

    /// Runs the executable; begins it again behind a program that has ended the process.
    fn execute(&self, program: &Path, active: &[usize], verdicts: &mut [Option<Verdict>]) -> anyhow::Result<()> {
        let mut first = 0;
        while first < active.len() {
            let mut child = Command::new(program)
                .arg(first.to_string())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let Some(stdout) = child.stdout.take() else {
                anyhow::bail!("the process has no output");
            };
            let (sender, lines) = mpsc::channel();
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
            let end = loop {
                match lines.recv_timeout(PATIENCE) {
                    Ok(line) => first += self.note(&line, verdicts)?,
                    Err(mpsc::RecvTimeoutError::Timeout) => break format!("it does not end within {PATIENCE:?}"),
                    Err(mpsc::RecvTimeoutError::Disconnected) => break "it ends the process".to_string(),
                }
            };
            // It may have ended by itself.
            let _ = child.kill();
            let status = child.wait()?;
            if first < active.len() {
                verdicts[active[first]] = Some(Verdict::Differs(0, format!("{end} ({status})")));
                first += 1;
            }
        }
        Ok(())
    }

    /// Takes a line of a batch's report; how many programs have ended by it.
    fn note(&self, line: &str, verdicts: &mut [Option<Verdict>]) -> anyhow::Result<usize> {
        let line: serde_json::Value = match serde_json::from_str(line) {
            Ok(line) => line,
            // What a program itself prints.
            Err(_) => return Ok(0),
        };
        let (Some(name), Some(checkpoints)) = (line["name"].as_str(), line["checkpoints"].as_u64()) else {
            return Ok(0);
        };
        let number: usize = name.parse()?;
        let checkpoints = checkpoints as usize;
        verdicts[number] = Some(match line["problem"].as_str() {
            Some(problem) => match refused_when_run(problem) {
                Some(reason) => Verdict::Refused(reason),
                None => Verdict::Differs(checkpoints, problem.to_string()),
            },
            None => Verdict::Same(checkpoints),
        });
        Ok(1)
    }

    /// Which of these are no Rust.
    fn invalid(&self, mut numbers: Vec<usize>) -> anyhow::Result<BTreeMap<usize, String>> {
        let mut all = BTreeMap::new();
        while !numbers.is_empty() {
            let mut root = String::from("#![allow(warnings)]\n");
            for number in &numbers {
                let _ = writeln!(root, "mod plain_p{number};");
            }
            let source = self.folder.join("plain.rs");
            fs::write(&source, root)?;
            let output = self
                .toolchain
                .rustc(&source, &self.folder.join("plain.rmeta"))
                .args(["--crate-type", "lib", "--emit=metadata", "--error-format=json"])
                .output()?;
            if output.status.success() {
                break;
            }
            let messages = String::from_utf8_lossy(&output.stderr);
            let of_file = |name: &str| {
                numbers
                    .iter()
                    .copied()
                    .find(|number| name == format!("plain_{}", file(*number)))
            };
            let invalid = diagnostics::by_file(&messages, of_file);
            anyhow::ensure!(
                !invalid.is_empty(),
                "plain programs do not compile: {}",
                diagnostics::first(&messages)
            );
            // Rust says of different kinds of mistakes in turn: the others are looked at again.
            numbers.retain(|number| !invalid.contains_key(number));
            all.extend(invalid);
        }
        Ok(all)
    }
}

/// Which of the programs are no Rust, by their numbers, and why.
///
/// # Errors
/// As [`run`].
pub fn invalid(toolchain: &Toolchain, folder: &Path, programs: &[Case]) -> anyhow::Result<BTreeMap<usize, String>> {
    fs::create_dir_all(folder)?;
    for (number, program) in programs.iter().enumerate() {
        fs::write(folder.join(format!("plain_{}", file(number))), program.plain_only())?;
    }
    Batch { toolchain, folder }.invalid((0..programs.len()).collect())
}

/// The reason, if the task failed in its first run, without being resumed, because a value cannot be saved: that is a refusal, if a late one.
fn refused_when_run(problem: &str) -> Option<String> {
    let (_, straight) = problem.split_once("straight: the result is \"Err(cannot be continued: ")?;
    let (reason, _) = straight.split_once(")\" instead of ")?;
    // Without the names of the program, so that equal reasons are one.
    let at = ["cannot be saved", "would not come back"]
        .iter()
        .find_map(|words| reason.find(words))?;
    Some(format!(
        "when it is run: a value {}",
        reason[at..].replace("\\\"", "\"")
    ))
}

/// Compiles and runs programs in batches of `size`, `jobs` at a time, and says of each what became of it. `progress` is told how many are done.
///
/// # Errors
/// As [`run`].
pub fn run_all(
    toolchain: &Toolchain,
    scratch: &Path,
    programs: &[Case],
    size: usize,
    jobs: usize,
    progress: impl Fn(usize) + Sync,
) -> anyhow::Result<Vec<Verdict>> {
    let batches: Vec<&[Case]> = programs.chunks(size.max(1)).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (sender, answers) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (sender, batches, next, done, progress) = (sender.clone(), &batches, &next, &done, &progress);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(batch) = batches.get(number) else { return };
                    let folder = scratch.join(format!("batch-{number}"));
                    let answer = run(toolchain, &folder, batch);
                    progress(done.fetch_add(batch.len(), Ordering::Relaxed) + batch.len());
                    // What was written is of use only to who looks for a mistake in this crate.
                    let _ = fs::remove_dir_all(&folder);
                    if sender.send((number, answer)).is_err() {
                        return;
                    }
                }
            });
        }
    });
    drop(sender);
    let mut all: Vec<_> = answers.into_iter().collect();
    all.sort_by_key(|(number, _)| *number);
    let mut verdicts = Vec::new();
    for (_, answer) in all {
        verdicts.extend(answer?);
    }
    anyhow::ensure!(verdicts.len() == programs.len(), "a batch was not run");
    Ok(verdicts)
}
