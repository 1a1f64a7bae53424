//! Where the servers' programs are.

use std::path::PathBuf;

/// Which versions the tests are made for.
const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// A program of the Python environment that `./test` makes.
///
/// # Panics
/// If it is not there, with how to install it.
pub(crate) fn installed(program: &str) -> PathBuf {
    let place = match std::env::var_os("KAPPA_TEST_SERVERS") {
        Some(place) => PathBuf::from(place),
        None => cache().join("kappa/servers"),
    };
    let found = place.join("bin").join(program);
    if !found.exists() {
        let packages: Vec<_> = REQUIREMENTS.split_whitespace().collect();
        panic!(
            "{program} is not installed in {place}. Run `./test` once, or `python3 -m venv {place} && {place}/bin/pip install {}`; for another place, set KAPPA_TEST_SERVERS",
            packages.join(" "),
            place = place.display()
        );
    }
    found
}

fn cache() -> PathBuf {
    match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => PathBuf::from("/var/cache"),
    }
}
