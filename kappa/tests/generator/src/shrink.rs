//! Makes a program that differs small: statements are left out as long as it still differs.

use crate::batch::{self, Toolchain, Verdict};
use crate::case::Case;
use std::path::Path;

/// How many smaller programs are tried at a time.
const AT_ONCE: usize = 48;

/// The smallest program that was found, and how it differs.
///
/// # Errors
/// Files cannot be written, or rustc does not run.
pub fn shrink(toolchain: &Toolchain, folder: &Path, program: &Case, problem: &str) -> anyhow::Result<(Case, String)> {
    let (mut best, mut problem) = (program.clone(), problem.to_string());
    let mut from = 0;
    loop {
        let candidates = candidates(&best);
        if from >= candidates.len() {
            return Ok((best, problem));
        }
        let tried = &candidates[from..candidates.len().min(from + AT_ONCE)];
        let verdicts = batch::run(toolchain, folder, tried)?;
        let smaller = tried
            .iter()
            .zip(verdicts)
            .filter_map(|(candidate, verdict)| match verdict {
                Verdict::Differs(_, problem) if problem.contains("instead of") => Some((candidate.clone(), problem)),
                _ => None,
            });
        match smaller.min_by_key(|(candidate, _)| candidate.tasks.len()) {
            Some((smaller, how)) => {
                (best, problem, from) = (smaller, how, 0);
            }
            None => from += AT_ONCE,
        }
    }
}

/// The program without each of its statements, and with each block replaced by what is in it.
fn candidates(program: &Case) -> Vec<Case> {
    let lines: Vec<&str> = program.tasks.lines().collect();
    let mut found: Vec<String> = Vec::new();
    let without = |from: usize, to: usize| {
        let kept = lines[..from].iter().chain(&lines[to + 1..]);
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    for from in 1..lines.len() {
        let to = end_of_block(&lines, from);
        if to >= lines.len() {
            continue;
        }
        found.push(without(from, to));
        if to > from {
            let unwrapped = lines
                .iter()
                .enumerate()
                .filter(|(number, _)| *number != from && *number != to);
            found.push(unwrapped.map(|(_, line)| format!("{line}\n")).collect());
        }
    }
    found.extend(simpler_expressions(&program.tasks));
    let mut found: Vec<Case> = found
        .into_iter()
        .map(|tasks| Case {
            tasks,
            ..program.clone()
        })
        .collect();
    // What leaves out most comes first.
    found.sort_by_key(|case| case.tasks.len());
    found
}

/// The line in which what is opened in a line is closed.
fn end_of_block(lines: &[&str], from: usize) -> usize {
    let mut depth = 0_i32;
    for (number, line) in lines.iter().enumerate().skip(from) {
        for c in line.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
        }
        if depth < 0 {
            return lines.len();
        }
        if depth == 0 && !line.trim_end().ends_with('=') {
            return number;
        }
    }
    lines.len()
}

/// The text with each bracketed expression replaced by a number.
fn simpler_expressions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '(' => open.push(at),
            ')' => {
                let Some(from) = open.pop() else { continue };
                let inner = &text[from + 1..at];
                if inner.len() > 6 && !inner.contains('\n') && !inner.contains("&mut Context") {
                    found.push(format!("{}2_i64{}", &text[..=from], &text[at..]));
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_and_whole_blocks_are_left_out_and_blocks_unwrapped() {
        let program = Case {
            tasks: "fn f() {\n    a();\n    if b {\n        c();\n    }\n}\n".into(),
            ..Case::default()
        };
        let texts: Vec<String> = candidates(&program).into_iter().map(|case| case.tasks).collect();
        for expected in [
            "fn f() {\n    if b {\n        c();\n    }\n}\n",
            "fn f() {\n    a();\n}\n",
            "fn f() {\n    a();\n        c();\n}\n",
            "fn f() {\n    a();\n    if b {\n    }\n}\n",
        ] {
            assert!(texts.iter().any(|text| text == expected), "{expected} in {texts:?}");
        }
        assert_eq!(texts.len(), 4);
    }
}
