//! What was done, in words.

use super::names::FunctionName;
use super::plan::{Configuration, RUNTIME, Step, Upload};

impl Step {
    /// One line, for a step that has been carried out.
    pub(crate) fn said(&self, name: &FunctionName, region: &str) -> String {
        let group = name.log_group();
        let role = name.role(region);
        match self {
            Step::CreateGroup { .. } => format!("log group {group}: created"),
            Step::SetRetention { days, before: None } => format!("log group {group}: keeps {days} days"),
            Step::SetRetention {
                days,
                before: Some(before),
            } => {
                format!("log group {group}: keeps {before} -> {days} days")
            }
            Step::TagGroup { .. } => format!("log group {group}: tagged"),
            Step::CreateRole { .. } => format!("role {role}: created"),
            Step::SetRolePolicy { place, before } => {
                let what = match place {
                    Some(place) => format!("may write its log, and read and write s3://{place}"),
                    None => "may write its log".to_string(),
                };
                let was = if before.is_some() { "policy changed: " } else { "" };
                format!("role {role}: {was}{what}")
            }
            Step::TagRole { .. } => format!("role {role}: tagged"),
            Step::RemoveRole => format!("role {role}: removed, as it is not needed any more"),
            Step::Upload { to } => format!("package: sent to {}", shown(to)),
            Step::RemoveUploads { uploads } => {
                let shown: Vec<_> = uploads.iter().map(shown).collect();
                format!("package: removed from {}", shown.join(" "))
            }
            Step::CreateFunction {
                configuration, arch, ..
            } => format!(
                "function {name}: created ({arch}, {} MB, time limit {} s)",
                configuration.memory, configuration.timeout
            ),
            Step::Configure { after, before } => {
                format!("function {name}: {}", changes(before, after).join(", "))
            }
            Step::SetCode { arch, .. } => format!("function {name}: new code ({arch})"),
            Step::SetConcurrency { most, before: None } => format!("function {name}: at most {most} at once"),
            Step::SetConcurrency {
                most,
                before: Some(before),
            } => {
                format!("function {name}: at most {before} -> {most} at once")
            }
            Step::TagFunction { .. } => format!("function {name}: tagged"),
        }
    }
}

/// A package's place, as S3's tools take it.
pub(crate) fn shown(upload: &Upload) -> String {
    format!("s3://{}/{}", upload.bucket, upload.key)
}

/// What differs. Of the environment the names alone: the values may be secrets.
pub(crate) fn changes(before: &Configuration, after: &Configuration) -> Vec<String> {
    let mut changes = Vec::new();
    let mut add = |what: &str, before: String, after: String| {
        if before != after {
            changes.push(format!("{what} {before} -> {after}"));
        }
    };
    add(
        "memory",
        format!("{} MB", before.memory),
        format!("{} MB", after.memory),
    );
    add(
        "time limit",
        format!("{} s", before.timeout),
        format!("{} s", after.timeout),
    );
    let role = |configuration: &Configuration| configuration.role.clone().unwrap_or("the one made for it".into());
    add("role", role(before), role(after));
    add("runtime", before.runtime.clone(), after.runtime.clone());
    debug_assert_eq!(after.runtime, RUNTIME);
    add("handler", before.handler.clone(), after.handler.clone());
    add(
        "description",
        format!("`{}`", before.description),
        format!("`{}`", after.description),
    );
    let set = after
        .environment
        .iter()
        .filter(|(key, value)| before.environment.get(*key) != Some(*value));
    changes.extend(set.map(|(key, _)| format!("variable {key} set")));
    let gone = before
        .environment
        .keys()
        .filter(|key| !after.environment.contains_key(*key));
    changes.extend(gone.map(|key| format!("variable {key} removed")));
    changes
}
