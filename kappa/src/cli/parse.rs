//! Durations, sizes and places as people write them.

use crate::record::folder::named_state;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Units of time, in nanoseconds.
const TIMES: &[(&str, u64)] = &[
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Units of size, in bytes.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads `2s`, `500ms`, `1.5h`, `1m30s`; not nothing, and not zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        |what: &str| format!("{what}; write a number and a unit (ms, s, m, h), for example `2s`, `500ms` or `1m30s`");
    let mut nanoseconds = 0u128;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong("it is empty"));
    }
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest);
        let factor = factor(TIMES, unit).ok_or_else(|| wrong(&no_unit(unit)))?;
        nanoseconds += times(number, factor).ok_or_else(|| wrong(&no_number(number)))?;
        rest = after;
    }
    match u64::try_from(nanoseconds) {
        Ok(0) => Err(wrong("it is no time at all")),
        Ok(nanoseconds) => Ok(Duration::from_nanos(nanoseconds)),
        Err(_) => Err(wrong("it is more than five hundred years")),
    }
}

/// Reads where runs are recorded: a folder, or the URL of Redis servers.
pub(super) fn state(text: &str) -> Result<PathBuf, String> {
    match named_state(Path::new(text)) {
        // What is refused here is shown with the refusal, and this may have a password in it. Whoever opens it refuses it, too.
        Err(_) if text.contains('@') => Ok(PathBuf::from(text)),
        named => named,
    }
}

/// Reads `512MB`, `1.5GiB`; not zero.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = |what: &str| {
        format!("{what}; write a number and a unit (B, kB, MB, GB, KiB, MiB, GiB), for example `512MB` or `2GiB`")
    };
    let (number, unit, rest) = number_and_unit(text.trim());
    if !rest.is_empty() {
        return Err(wrong(&format!("`{rest}` is too much")));
    }
    let factor = factor(SIZES, unit).ok_or_else(|| wrong(&no_unit(unit)))?;
    match times(number, factor).map(u64::try_from) {
        None => Err(wrong(&no_number(number))),
        Some(Ok(0)) => Err(wrong("it is no room at all")),
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(_)) => Err(wrong("it is more than 64 bits can count")),
    }
}

/// `1m30s` is `1`, `m` and `30s`.
fn number_and_unit(text: &str) -> (&str, &str, &str) {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let unit_at = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let (number, rest) = text.split_at(unit_at);
    let rest = rest.trim_start();
    let end = rest.find(is_number).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(end);
    (number, unit.trim_end(), after)
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    let same = |(name, factor): &(&str, u64)| (*name == unit).then_some(*factor);
    units.iter().find_map(same)
}

/// A decimal fraction times a factor, rounded down: exact, where a `f64` is not.
fn times(number: &str, factor: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 18 || fraction.len() > 18 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(digits.checked_mul(factor.into())? / scale)
}

fn no_unit(unit: &str) -> String {
    match unit {
        "" => "it has no unit".to_string(),
        unit => format!("there is no unit `{unit}`"),
    }
}

fn no_number(number: &str) -> String {
    match number {
        "" => "it has no number".to_string(),
        number => format!("`{number}` is not a number of at most 18 digits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_a_password_in_it_is_not_refused_where_it_would_be_shown() {
        assert!(state("valkey://a").is_err());
        let with_password = state("valkey://:hidden@a").expect("to be refused later");
        let refused = crate::record::records::open(&with_password)
            .err()
            .expect("no state")
            .to_string();
        assert!(
            refused.contains("cannot be a state") && !refused.contains("hidden"),
            "{refused}"
        );
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let milliseconds = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(milliseconds("2s"), Ok(2000));
        assert_eq!(milliseconds("500ms"), Ok(500));
        assert_eq!(milliseconds("1m30s"), Ok(90_000));
        assert_eq!(milliseconds(" 1.5 h "), Ok(5_400_000));
        assert_eq!(milliseconds("0.1s"), Ok(100));
        assert_eq!(milliseconds("1 min 1 s"), Ok(61_000));
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(bytes("512MB"), Ok(512_000_000));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        assert_eq!(bytes("1.5 kB"), Ok(1500));
        assert_eq!(bytes("7B"), Ok(7));
        assert_eq!(bytes("16384TiB"), Ok(1 << 54));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_right() {
        for (text, reason) in [
            ("", "empty"),
            ("2", "no unit"),
            ("2 parsecs", "no unit `parsecs`"),
            ("s", "no number"),
            ("1.2.3s", "`1.2.3` is not a number"),
            (".s", "not a number"),
            ("-1s", "no unit `-`"),
            ("0s", "no time at all"),
            ("99999999999h", "years"),
            ("1s ago", "no unit `s ago`"),
        ] {
            let message = duration(text).unwrap_err();
            assert!(
                message.contains(reason) && message.contains("`2s`"),
                "{text}: {message}"
            );
        }
        for (text, reason) in [
            ("", "no unit"),
            ("512", "no unit"),
            ("512mb", "no unit `mb`"),
            ("MB", "no number"),
            ("0MB", "no room"),
            ("1GB5", "`5` is too much"),
            ("99999999999TB", "64 bits"),
            ("1e9B", "no unit `e`"),
        ] {
            let message = bytes(text).unwrap_err();
            assert!(
                message.contains(reason) || message.contains("is too much"),
                "{text}: {message}"
            );
            assert!(message.contains("`512MB`"), "{text}: {message}");
        }
    }
}
