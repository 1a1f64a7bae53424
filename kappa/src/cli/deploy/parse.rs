//! What Lambda takes, as people write it.

use crate::deploy::names::{FunctionName, Place};
use crate::deploy::program::Arch;
use std::time::Duration;

/// `1769MB`. Lambda's megabytes are of 2^20 bytes, whatever they are called.
pub(super) fn memory(text: &str) -> Result<i32, String> {
    let wrong = || format!("`{text}` is not a size that Lambda has: 128MB to 10240MB, for example `1769MB` or `2GB`");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "MB" | "MiB" => 1,
        "GB" | "GiB" => 1024,
        _ => return Err(wrong()),
    };
    let number: i32 = number.parse().map_err(|_| wrong())?;
    let memory = number.checked_mul(factor).ok_or_else(wrong)?;
    (128..=10240).contains(&memory).then_some(memory).ok_or_else(wrong)
}

/// `60s`, in whole seconds.
pub(super) fn timeout(text: &str) -> Result<i32, String> {
    let duration = crate::cli::parse::duration(text)?;
    let seconds = i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
    match seconds {
        1..=900 if duration == Duration::from_secs(duration.as_secs()) => Ok(seconds),
        _ => Err("Lambda takes whole seconds, from `1s` to `15m`".to_string()),
    }
}

/// The numbers of days that CloudWatch Logs takes.
const RETENTION: &[i32] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

pub(super) fn retention(text: &str) -> Result<i32, String> {
    let days = text.parse().ok().filter(|days| RETENTION.contains(days));
    days.ok_or_else(|| {
        let days: Vec<_> = RETENTION.iter().map(ToString::to_string).collect();
        format!("CloudWatch Logs takes one of these numbers of days: {}", days.join(" "))
    })
}

/// `KEY=VALUE`.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    let mut letters = key.chars();
    let is_name = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.clone().count() > 0
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_name {
        true => Ok((key.to_string(), value.to_string())),
        false => Err(format!(
            "`{key}` is not a name that Lambda takes: two or more letters, digits and `_`, a letter first"
        )),
    }
}

/// `arn:aws:iam::ACCOUNT:role/NAME`.
pub(super) fn role(text: &str) -> Result<String, String> {
    let parts: Vec<_> = text.split(':').collect();
    match parts.as_slice() {
        ["arn", _, "iam", "", _, name] if name.starts_with("role/") => Ok(text.to_string()),
        _ => Err("write a role's ARN, arn:aws:iam::ACCOUNT:role/NAME".to_string()),
    }
}

pub(super) fn arch(text: &str) -> Result<Arch, String> {
    match text {
        "x86_64" => Ok(Arch::X86),
        "arm64" => Ok(Arch::Arm),
        _ => Err("Lambda has x86_64 and arm64".to_string()),
    }
}

pub(super) fn name(text: &str) -> Result<FunctionName, String> {
    FunctionName::parse(text)
}

pub(super) fn place(text: &str) -> Result<Place, String> {
    Place::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_those_that_lambda_takes() {
        assert_eq!(memory("1769MB"), Ok(1769));
        assert_eq!(memory("2 GiB"), Ok(2048));
        for wrong in [
            "",
            "MB",
            "127MB",
            "10241MB",
            "1.5GB",
            "512",
            "99999999999GB",
            "9999999GB",
        ] {
            assert!(memory(wrong).unwrap_err().contains("128MB to 10240MB"), "{wrong}");
        }
        assert_eq!(timeout("1m30s"), Ok(90));
        assert_eq!(timeout("15m"), Ok(900));
        for wrong in ["500ms", "1500ms", "16m", "1000000h"] {
            assert!(timeout(wrong).unwrap_err().contains("whole seconds"), "{wrong}");
        }
        assert_eq!(retention("14"), Ok(14));
        assert!(retention("15").unwrap_err().contains("7 14 30"));
    }

    #[test]
    fn variables_and_roles_that_lambda_would_refuse_are_refused() {
        assert_eq!(variable("RUST_LOG=a=b"), Ok(("RUST_LOG".into(), "a=b".into())));
        for wrong in ["A=1", "1A=1", "A-B=1", "AB", "=x"] {
            assert!(variable(wrong).is_err(), "{wrong}");
        }
        assert!(role("arn:aws:iam::123456789012:role/service/x").is_ok());
        for wrong in ["x", "arn:aws:iam::1:user/x", "arn:aws:s3:::role/x"] {
            assert!(role(wrong).is_err(), "{wrong}");
        }
    }
}
