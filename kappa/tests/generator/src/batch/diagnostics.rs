//! rustc's messages as JSON: in which file an error is.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The first line of the first error of each file that `known` knows, by what it says the file is.
pub(super) fn by_file<K: Ord>(messages: &str, known: impl Fn(&str) -> Option<K>) -> BTreeMap<K, String> {
    let mut found = BTreeMap::new();
    for message in errors(messages) {
        let mut files = Vec::new();
        files_of(&message, &mut files);
        if let Some(file) = files.iter().find_map(|name| known(name)) {
            found.entry(file).or_insert_with(|| line(&message));
        }
    }
    found
}

/// The first line of the first error.
pub(super) fn first(messages: &str) -> String {
    match errors(messages).next() {
        Some(message) => line(&message),
        None => messages
            .lines()
            .next()
            .unwrap_or("rustc failed without a word")
            .to_string(),
    }
}

fn errors(messages: &str) -> impl Iterator<Item = Value> {
    let parsed = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter(|message| {
        matches!(
            message["level"].as_str(),
            Some("error" | "error: internal compiler error")
        )
    })
}

fn line(message: &Value) -> String {
    let text = message["message"]
        .as_str()
        .unwrap_or("")
        .lines()
        .next()
        .unwrap_or("")
        .to_string();
    match message["code"]["code"].as_str() {
        Some(code) => format!("{code} {text}"),
        None => text,
    }
}

/// The names of the files that a message points to: its own places first, then those that they were expanded from, then those of its notes.
fn files_of(message: &Value, into: &mut Vec<String>) {
    let spans = || message["spans"].as_array().into_iter().flatten();
    for primary in [true, false] {
        for span in spans().filter(|span| span["is_primary"].as_bool() == Some(primary)) {
            let mut span = span;
            while !span.is_null() {
                let name = span["file_name"].as_str().map(Path::new).and_then(Path::file_name);
                into.extend(name.map(|name| name.to_string_lossy().into_owned()));
                span = &span["expansion"]["span"];
            }
        }
    }
    for note in message["children"].as_array().into_iter().flatten() {
        files_of(note, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_belongs_to_the_program_that_it_or_its_notes_point_to() {
        let messages = r#"
{"level":"warning","message":"unused","spans":[{"file_name":"a/p1.rs","is_primary":true,"expansion":null}],"children":[]}
{"level":"error","message":"moved\nreally","code":{"code":"E0382"},"spans":[{"file_name":"lib.rs","is_primary":true,"expansion":{"span":{"file_name":"a/p2.rs","expansion":null}}}],"children":[]}
{"level":"error","message":"constant","code":null,"spans":[],"children":[{"spans":[{"file_name":"a/p3.rs","is_primary":true,"expansion":null}],"children":[]}]}
{"level":"error","message":"aborting","code":null,"spans":[],"children":[]}"#;
        let found = by_file(messages, |name| name.strip_prefix('p').map(str::to_string));
        let expected = [("2.rs", "E0382 moved"), ("3.rs", "constant")];
        assert_eq!(
            found,
            expected
                .map(|(name, reason)| (name.to_string(), reason.to_string()))
                .into()
        );
        assert_eq!(first(messages), "E0382 moved");
    }
}
