//! The words of real text, counted under all circumstances, are those of a plain count.

use crate::program::{Place, Running, files_of};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

/// Text with all that can go wrong at borders: empty lines, runs of spaces, long lines, other alphabets, bytes that are no text, no end of line.
fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let spaces: [&[u8]; 8] = [b" ", b" ", b" ", b"\n", b"\t", b"  \n\n ", b"\r\n", b"\x0b\x0c"];
    let words = ["a", "the", "word", "Wörter", "日本語", "checkpoint", "x1-y2", "\u{a0}"];
    let mut state = seed;
    let mut next = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let mut text = Vec::new();
    while text.len() < bytes {
        match next(20) {
            0 => text.extend((0..next(500)).map(|_| b'l')),
            1 => text.extend_from_slice(b"\xff\xfe"),
            2..10 => text.extend_from_slice(format!("w{}", next(5000)).as_bytes()),
            n => text.extend_from_slice(words[n % words.len()].as_bytes()),
        }
        text.extend_from_slice(spaces[next(spaces.len())]);
    }
    text.extend_from_slice(b"last-word-without-end-of-line");
    text
}

/// The plain count: `tr -s '[:space:]' '\n' | sort | uniq -c`.
fn plain(texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut counts: BTreeMap<&[u8], u64> = BTreeMap::new();
    for text in texts {
        let words = text
            .split(|byte| matches!(byte, b' ' | 9..=13))
            .filter(|word| !word.is_empty());
        words.for_each(|word| *counts.entry(word).or_default() += 1);
    }
    counts
        .into_iter()
        .map(|(word, count)| [format!("{count:7} ").as_bytes(), word].concat())
        .collect()
}

/// The lines of all parts, in the order of their words; the parts themselves must be sorted, and nothing else be there.
fn counted(output: &Path, parts: usize) -> Vec<Vec<u8>> {
    let files = files_of(output);
    let names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, (0..parts).map(|n| format!("part-{n:05}")).collect::<Vec<_>>());
    let by_word = |line: &Vec<u8>| line[8..].to_vec();
    let mut lines = Vec::new();
    for (name, content) in files {
        let part: Vec<Vec<u8>> = content
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .filter(|line| !line.is_empty())
            .collect();
        assert!(part.is_sorted_by_key(by_word), "{name} is not sorted");
        lines.extend(part);
    }
    lines.sort_by_key(by_word);
    lines
}

#[test]
fn every_word_is_counted_once_wherever_the_borders_are() {
    let place = Place::new();
    let texts = [
        text(1, 3000),
        Vec::new(),
        b"   \n ".to_vec(),
        b"one".to_vec(),
        text(2, 10),
    ];
    for (n, text) in texts.iter().enumerate() {
        place.write(&format!("text{n}"), text);
    }
    for split in [1, 2, 7, 64, 1000, 1 << 20] {
        let output = format!("out{split}");
        let input = format!(
            r#"{{"files": ["text0", "text1", "text2", "text3", "text4"], "output": "{output}", "split_bytes": {split}, "reducers": 3}}"#
        );
        place.run("word_count", &["run", "--input", &input]).value();
        assert_eq!(counted(&place.path(&output), 3), plain(&texts), "split {split}");
    }
}

#[test]
fn under_chaos_and_short_time_limits_the_count_is_the_plain_one() {
    let place = Place::new();
    let texts = [text(3, 2 << 20), text(4, 500_000)];
    place.write("one", &texts[0]);
    place.write("other", &texts[1]);
    for (seed, platform) in [(1, "process"), (2, "process"), (3, "in-process")] {
        let output = format!("out{seed}");
        let input = format!(r#"{{"files": ["one", "other"], "output": "{output}", "split_bytes": 100000}}"#);
        let chaos = format!("kill=0.4,seed={seed}");
        let arguments = [
            "run",
            "--input",
            &input,
            "--platform",
            platform,
            "--time-limit",
            "500ms",
            "--chaos",
            &chaos,
        ];
        let ended = place.run("word_count", &arguments);
        ended.value();
        assert!(ended.stderr.contains(" killed"), "{}", ended.stderr);
        assert_eq!(counted(&place.path(&output), 4), plain(&texts), "seed {seed}");
    }
}

#[test]
fn after_killing_everything_again_and_again_the_count_is_the_plain_one() {
    let place = Place::new();
    let texts = [text(5, 1 << 20)];
    place.write("text", &texts[0]);
    let input = r#"{"files": ["text"], "output": "out", "split_bytes": 1000}"#;
    let on = [
        "--state",
        "state",
        "--platform",
        "process",
        "--time-limit",
        "2s",
        "--chaos",
        "kill=0.2,seed=5",
    ];
    let mut running = Running::start(place.command("word_count", &[&["run", "--input", input][..], &on].concat()));
    let run = running.run_id();
    let mut killed = 0;
    let ended = loop {
        std::thread::sleep(Duration::from_millis(150));
        if running.is_over() {
            break running.end();
        }
        if killed < 8 {
            running.send(Signal::SIGKILL);
            running.end();
            place.assert_nothing_is_left();
            killed += 1;
            running = Running::start(place.command("word_count", &[&["resume", &run][..], &on].concat()));
        }
    };
    ended.value();
    assert!(killed >= 5, "it was killed only {killed} times before it was done");
    assert_eq!(counted(&place.path("out"), 4), plain(&texts));
    place.assert_nothing_is_left();
    assert!(
        !fs::exists(place.path(&format!("state/store/runs/{run}"))).unwrap(),
        "its objects are deleted"
    );
}

/// An endpoint, which is killed at the end.
struct Served(std::process::Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn behind_an_http_endpoint_and_under_chaos_the_count_is_the_plain_one() {
    const SECRET: (&str, &str) = ("KAPPA_FUNCTION_SECRET", "a-secret-for-the-tests-of-word-count");
    let place = Place::new();
    let texts = [text(6, 1 << 20)];
    place.write("text", &texts[0]);
    let mut serve = place.command("word_count", &["serve", "--listen", "127.0.0.1:0", "--workers", "3"]);
    let mut served = Served(serve.env(SECRET.0, SECRET.1).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(served.0.stderr.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    let url = said.split_whitespace().find(|word| word.starts_with("http://"));
    let url = url.expect(&said).trim_end_matches(',');
    for seed in 1..3 {
        let output = format!("out{seed}");
        let input = format!(r#"{{"files": ["text"], "output": "{output}", "split_bytes": 100000}}"#);
        let chaos = format!("kill=0.4,seed={seed}");
        let on = [
            "--platform",
            "http",
            "--function",
            url,
            "--store",
            "file:objects",
            "--workers",
            "3",
        ];
        let limits = ["--time-limit", "500ms", "--chaos", &chaos];
        let mut run = place.command("word_count", &[&["run", "--input", &input][..], &on, &limits].concat());
        let ended = run.env(SECRET.0, SECRET.1).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success() && said.contains(" killed"), "{said}");
        assert!(!said.contains(SECRET.1), "{said}");
        assert_eq!(counted(&place.path(&output), 4), plain(&texts), "seed {seed}");
    }
}
