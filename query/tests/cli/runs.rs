//! What runs of queries did, asked of `kappa-sql` itself; and what it does about a state that was copied, moved or damaged.

use crate::support::{Ran, Shop};
use std::fs;
use std::path::{Path, PathBuf};

const QUERY: &str = "SELECT city, count(*) AS n FROM orders GROUP BY city ORDER BY city";

/// A shop in which a query was run with a state; and what it gave.
fn with_a_run() -> (Shop, Ran, String) {
    let shop = Shop::large();
    let ran = shop.sql(QUERY, &["--format", "csv", "--state", "state"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let after = ran.err.split("run ").nth(1).unwrap_or_else(|| panic!("{ran:?}"));
    let run = after.split(';').next().unwrap_or_default().to_owned();
    (shop, ran, run)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

#[test]
fn runs_are_listed_shown_drawn_priced_resumed_and_removed_by_their_id_its_beginning_or_last() {
    let (shop, ran, run) = with_a_run();
    let listed = shop.run(&["runs", "--state", "state"]);
    assert!(listed.code == Some(0) && listed.out.contains(&run), "{listed:?}");
    for which in ["last", &run[..20], &run] {
        let shown = shop.run(&["show", which, "--state", "state"]);
        assert!(shown.code == Some(0) && shown.out.contains("ended"), "{shown:?}");
        let cost = shop.run(&["cost", which, "--state", "state"]);
        assert!(cost.code == Some(0) && cost.out.contains("invocation"), "{cost:?}");
        shop.run(&["resume", which, "--state", "state", "--format", "csv"])
            .wrote(&ran.out);
    }
    let drawn = shop.run(&["timeline", "last", "--state", "state", "--html", "run.html"]);
    assert!(drawn.code == Some(0) && shop.path("run.html").exists(), "{drawn:?}");
    let removed = shop.run(&["gc", "--state", "state"]);
    assert!(removed.code == Some(0) && removed.out.contains(&run), "{removed:?}");
    let gone = shop.run(&["resume", "last", "--state", "state"]);
    gone.failed(1, &["there is no run last"]);
}

#[test]
fn the_state_that_is_named_is_gone_on_with_also_if_it_was_copied_or_moved() {
    let (shop, ran, run) = with_a_run();
    copy(&shop.path("state"), &shop.path("copy"));
    fs::rename(shop.path("state"), shop.path("moved")).unwrap();
    for state in ["copy", "moved"] {
        let resume = ["resume", "last", "--state", state, "--format", "csv"];
        shop.run(&resume).wrote(&ran.out);
    }
    shop.run(&["gc", "--state", "copy"]).wrote_something(&run);
    shop.run(&["resume", &run, "--state", "moved", "--format", "csv"])
        .wrote(&ran.out);
    assert!(!shop.path("state").exists(), "it was made anew");
}

#[test]
fn a_changed_byte_of_what_a_query_has_stored_is_no_other_answer_and_the_object_is_named() {
    let (shop, ran, run) = with_a_run();
    let stored = files_below(&shop.path("state/store"));
    assert!(!stored.is_empty());
    let resume = ["resume", &run, "--state", "state", "--format", "csv"];
    let mut noticed = 0;
    for file in &stored {
        let whole = fs::read(file).unwrap();
        for place in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[place] ^= 4;
            fs::write(file, changed).unwrap();
            let resumed = shop.run(&resume);
            match resumed.code {
                // It is nothing that the result is made of.
                Some(0) => assert_eq!(resumed.out, ran.out),
                _ => {
                    noticed += 1;
                    let name = file.file_name().unwrap().to_string_lossy().into_owned();
                    resumed.failed(1, &["is not what was written there", name.trim_end_matches('=')]);
                }
            }
        }
        fs::write(file, whole).unwrap();
    }
    assert!(noticed >= 4, "{noticed} changes of {} objects", stored.len());
    shop.run(&resume).wrote(&ran.out);
}

impl Ran {
    #[track_caller]
    fn wrote_something(&self, part: &str) {
        assert!(self.code == Some(0) && self.out.contains(part), "{self:?}");
    }
}
