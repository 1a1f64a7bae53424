//! What has to be done, decided from what is wanted and what is there; pure.
//!
//! Guarantees that what is as it is wanted is not touched, so that a plan made after the last one was carried out is empty; that an option that was not
//! given leaves what is there as it is; and that nothing of somebody else's is touched, unless that is wanted in so many words.
//!
//! The steps come in this order:
//!
//! ```text
//! log group, role and its policy, upload -> function: created, or its configuration and then its code -> tags, retention, what is not needed any more
//! |------------- undone if a later one of these fails, or is interrupted ---------------------------|   |------------- not undone ---------------|
//! ```
//!
//! The log group comes first and goes last: its tags say where else to look if the rest is killed.

use super::names::{self, FunctionName, Place, Tags, is_ours};
use super::policy::{self, Scope};
use super::program::Arch;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a Lambda gets one processor for, in MB.
pub(crate) const DEFAULT_MEMORY: i32 = 1769;

/// How long an invocation may take, in seconds. Kappa's tasks go on in the next one.
pub(crate) const DEFAULT_TIMEOUT: i32 = 60;

/// How long a log is kept, in days.
pub(crate) const DEFAULT_RETENTION: i32 = 14;

/// Lambda's name of the runtime that starts a `bootstrap`.
pub(crate) const RUNTIME: &str = "provided.al2023";

/// What the runtime starts; Lambda wants a handler's name, and `provided` does nothing with it.
pub(crate) const HANDLER: &str = "bootstrap";

/// What is wanted of a function. `None`: as it is, or a good default for a new one.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: FunctionName,
    pub(crate) region: String,
    /// The program's name, for the description.
    pub(crate) program: String,
    pub(crate) arch: Arch,
    /// The package's hash, as Lambda computes it.
    pub(crate) hash: String,
    /// The package's size, and whether it can be sent to Lambda itself.
    pub(crate) size: u64,
    pub(crate) is_direct: bool,
    pub(crate) memory: Option<i32>,
    pub(crate) timeout: Option<i32>,
    pub(crate) role: Option<RoleChoice>,
    pub(crate) environment: Option<BTreeMap<String, String>>,
    pub(crate) place: Option<Place>,
    pub(crate) retention: Option<i32>,
    pub(crate) concurrency: Option<i32>,
    /// Take over what is there under these names and is not Kappa's.
    pub(crate) adopt: bool,
}

/// Which role a function has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoleChoice {
    /// This one.
    Given(String),
    /// The one that Kappa makes for it.
    Made,
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) function: Option<Function>,
    pub(crate) group: Option<Group>,
    pub(crate) role: Option<Role>,
    /// Packages of this function that are still in buckets.
    pub(crate) uploads: Vec<Upload>,
}

/// A function that is there.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) arn: String,
    pub(crate) configuration: Configuration,
    pub(crate) arch: String,
    pub(crate) hash: String,
    /// Of the package, in bytes.
    pub(crate) size: i64,
    pub(crate) is_zip: bool,
    pub(crate) concurrency: Option<i32>,
    pub(crate) tags: Tags,
    pub(crate) state: State,
    /// When it was last changed, as Lambda writes it.
    pub(crate) modified: String,
}

/// Whether a function can be invoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    /// A creation or a change is on its way.
    Pending,
    /// Why it cannot.
    Failed(String),
}

/// What can be set of a function apart from its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// An ARN; `None` for that of the role that Kappa is about to make.
    pub(crate) role: Option<String>,
    pub(crate) memory: i32,
    pub(crate) timeout: i32,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) description: String,
    pub(crate) runtime: String,
    pub(crate) handler: String,
}

/// A log group that is there.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) arn: String,
    pub(crate) retention: Option<i32>,
    pub(crate) bytes: i64,
    pub(crate) tags: Tags,
}

/// A role that is there under the name that Kappa would give it.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) arn: String,
    /// Its policy of Kappa's name.
    pub(crate) policy: Option<Value>,
    pub(crate) tags: Tags,
}

/// A package in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    CreateGroup {
        tags: Tags,
    },
    CreateRole {
        tags: Tags,
    },
    SetRolePolicy {
        place: Option<Place>,
        before: Option<Value>,
    },
    Upload {
        to: Upload,
    },
    CreateFunction {
        configuration: Configuration,
        arch: Arch,
        upload: Option<Upload>,
        tags: Tags,
    },
    Configure {
        after: Configuration,
        before: Configuration,
    },
    SetCode {
        arch: Arch,
        upload: Option<Upload>,
    },
    SetRetention {
        days: i32,
        before: Option<i32>,
    },
    SetConcurrency {
        most: i32,
        before: Option<i32>,
    },
    TagGroup {
        tags: Tags,
    },
    TagRole {
        tags: Tags,
    },
    TagFunction {
        tags: Tags,
    },
    RemoveUploads {
        uploads: Vec<Upload>,
    },
    RemoveRole,
}

/// Why nothing can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("{} there already and not made by Kappa; choose another name, or take over what is there with --adopt (`kappa undeploy` removes it then)",
        if things.len() == 1 { format!("{} is", things[0]) } else { format!("{} are", things.join(" and ")) })]
    Foreign { things: Vec<String> },
    #[error(
        "a new function needs a role: give --role ARN, or let Kappa make one with --create-role (`kappa policy` prints what it may do)"
    )]
    NoRole,
    #[error("{0}")]
    RoleName(String),
    #[error(
        "the function {0} is made of a container image, and Kappa deploys zips; choose another name, or delete the function"
    )]
    Image(String),
    #[error(
        "the package has {size} bytes, and Lambda takes at most {} (50 MB) directly: give --bucket BUCKET to send it by S3, or {smaller}",
        super::package::DIRECT_LIMIT
    )]
    NeedsBucket { size: u64, smaller: &'static str },
}

/// The steps from what is there to what is wanted.
pub(crate) fn decide(wanted: &Wanted, found: &Found) -> Result<Vec<Step>, PlanError> {
    refuse_foreign(wanted, found)?;
    let place = wanted.place.clone().or_else(|| recorded_place(found));
    let tags = names::tags(&wanted.name, place.as_ref());
    let role = choose_role(wanted, found)?;
    let is_made = role == RoleChoice::Made;
    let mut steps = Vec::new();
    let mut later = Vec::new();

    let retention = wanted
        .retention
        .or(found.group.as_ref().and_then(|group| group.retention));
    let retention = retention.unwrap_or(DEFAULT_RETENTION);
    match &found.group {
        None => {
            steps.push(Step::CreateGroup { tags: tags.clone() });
            steps.push(Step::SetRetention {
                days: retention,
                before: None,
            });
        }
        Some(group) => {
            if group.retention != Some(retention) {
                later.push(Step::SetRetention {
                    days: retention,
                    before: group.retention,
                });
            }
            later.extend(missing(&tags, &group.tags).map(|tags| Step::TagGroup { tags }));
        }
    }
    if is_made {
        plan_role(wanted, found, place.as_ref(), &tags, &mut steps, &mut later)?;
    }
    let role = match (&role, &found.role) {
        (RoleChoice::Given(arn), _) => Some(arn.clone()),
        (RoleChoice::Made, Some(role)) => Some(role.arn.clone()),
        (RoleChoice::Made, None) => None,
    };
    plan_function(wanted, found, place.as_ref(), role, &tags, &mut steps, &mut later)?;
    let mut uploads = found.uploads.clone();
    for step in &steps {
        match step {
            Step::Upload { to } if !uploads.contains(to) => uploads.push(to.clone()),
            _ => {}
        }
    }
    if !uploads.is_empty() {
        later.push(Step::RemoveUploads { uploads });
    }
    if !is_made && found.role.as_ref().is_some_and(|role| is_ours(&role.tags)) {
        later.push(Step::RemoveRole);
    }
    steps.extend(later);
    Ok(steps)
}

/// The first step that is not undone: all before it are, if one of them fails.
pub(crate) fn first_for_good(steps: &[Step]) -> usize {
    let is_of_function = |step: &Step| {
        matches!(
            step,
            Step::CreateFunction { .. } | Step::Configure { .. } | Step::SetCode { .. }
        )
    };
    let is_before = |step: &Step| {
        matches!(
            step,
            Step::CreateGroup { .. } | Step::CreateRole { .. } | Step::SetRolePolicy { .. } | Step::Upload { .. }
        )
    };
    let last = steps.iter().rposition(|step| is_of_function(step) || is_before(step));
    last.map_or(0, |last| last + 1)
}

/// Where the tags say that the function keeps things.
pub(crate) fn recorded_place(found: &Found) -> Option<Place> {
    let of_function = found
        .function
        .as_ref()
        .and_then(|function| names::place_of(&function.tags));
    of_function.or_else(|| found.group.as_ref().and_then(|group| names::place_of(&group.tags)))
}

fn refuse_foreign(wanted: &Wanted, found: &Found) -> Result<(), PlanError> {
    if let Some(function) = &found.function
        && !function.is_zip
    {
        return Err(PlanError::Image(wanted.name.to_string()));
    }
    let mut things = Vec::new();
    let is_function_ours = found.function.as_ref().map(|function| is_ours(&function.tags));
    if is_function_ours == Some(false) {
        things.push(format!("the function {}", wanted.name));
    }
    // That of a function of Kappa's has been made again by Lambda, if it has no tags.
    if is_function_ours != Some(true) && found.group.as_ref().is_some_and(|group| !is_ours(&group.tags)) {
        things.push(format!("the log group {}", wanted.name.log_group()));
    }
    if wanted.role == Some(RoleChoice::Made) && found.role.as_ref().is_some_and(|role| !is_ours(&role.tags)) {
        things.push(format!("the role {}", wanted.name.role(&wanted.region)));
    }
    match things.is_empty() || wanted.adopt {
        true => Ok(()),
        false => Err(PlanError::Foreign { things }),
    }
}

fn choose_role(wanted: &Wanted, found: &Found) -> Result<RoleChoice, PlanError> {
    let made = found.role.as_ref().filter(|role| is_ours(&role.tags));
    match (&wanted.role, &found.function, made) {
        (Some(role), _, _) => Ok(role.clone()),
        (None, Some(function), made) => match (&function.configuration.role, made) {
            (Some(arn), Some(made)) if *arn == made.arn => Ok(RoleChoice::Made),
            // Somebody has deleted it: it is made again.
            (Some(arn), None)
                if arn.ends_with(&format!("{}{}", names::ROLE_PATH, wanted.name.role(&wanted.region))) =>
            {
                Ok(RoleChoice::Made)
            }
            (Some(arn), _) => Ok(RoleChoice::Given(arn.clone())),
            (None, _) => Err(PlanError::NoRole),
        },
        // What a killed deployment has left.
        (None, None, Some(_)) => Ok(RoleChoice::Made),
        (None, None, None) => Err(PlanError::NoRole),
    }
}

fn plan_role(
    wanted: &Wanted,
    found: &Found,
    place: Option<&Place>,
    tags: &Tags,
    steps: &mut Vec<Step>,
    later: &mut Vec<Step>,
) -> Result<(), PlanError> {
    let set_policy = |before| Step::SetRolePolicy {
        place: place.cloned(),
        before,
    };
    match &found.role {
        None => {
            if let Some(trouble) = wanted.name.role_trouble(&wanted.region) {
                return Err(PlanError::RoleName(trouble));
            }
            steps.push(Step::CreateRole { tags: tags.clone() });
            steps.push(set_policy(None));
        }
        Some(role) => {
            let scope = Scope::of_role(&role.arn, &wanted.region).unwrap_or_else(Scope::anywhere);
            if role.policy.as_ref() != Some(&policy::role(&scope, Some(&wanted.name), place)) {
                steps.push(set_policy(role.policy.clone()));
            }
            later.extend(missing(tags, &role.tags).map(|tags| Step::TagRole { tags }));
        }
    }
    Ok(())
}

fn plan_function(
    wanted: &Wanted,
    found: &Found,
    place: Option<&Place>,
    role: Option<String>,
    tags: &Tags,
    steps: &mut Vec<Step>,
    later: &mut Vec<Step>,
) -> Result<(), PlanError> {
    let before = found.function.as_ref().map(|function| &function.configuration);
    let configuration = Configuration {
        role,
        memory: wanted
            .memory
            .or(before.map(|before| before.memory))
            .unwrap_or(DEFAULT_MEMORY),
        timeout: wanted
            .timeout
            .or(before.map(|before| before.timeout))
            .unwrap_or(DEFAULT_TIMEOUT),
        environment: wanted
            .environment
            .clone()
            .or(before.map(|before| before.environment.clone()))
            .unwrap_or_default(),
        description: format!("{}, a program made with Kappa", wanted.program),
        runtime: RUNTIME.to_string(),
        handler: HANDLER.to_string(),
    };
    let is_new_code = match &found.function {
        None => true,
        Some(function) => function.hash != wanted.hash || function.arch != wanted.arch.as_str(),
    };
    let upload = match (is_new_code && !wanted.is_direct, place) {
        (false, _) => None,
        (true, None) => {
            return Err(PlanError::NeedsBucket {
                size: wanted.size,
                smaller: super::package::smaller(true),
            });
        }
        (true, Some(place)) => Some(Upload {
            bucket: place.bucket.clone(),
            key: upload_key(&wanted.name, place, &wanted.hash),
        }),
    };
    steps.extend(upload.clone().map(|to| Step::Upload { to }));
    match &found.function {
        None => steps.push(Step::CreateFunction {
            configuration,
            arch: wanted.arch,
            upload,
            tags: tags.clone(),
        }),
        Some(function) => {
            if configuration != function.configuration {
                steps.push(Step::Configure {
                    after: configuration,
                    before: function.configuration.clone(),
                });
            }
            if is_new_code {
                steps.push(Step::SetCode {
                    arch: wanted.arch,
                    upload,
                });
            }
            later.extend(missing(tags, &function.tags).map(|tags| Step::TagFunction { tags }));
        }
    }
    let concurrency = found.function.as_ref().and_then(|function| function.concurrency);
    match wanted.concurrency {
        Some(most) if concurrency != Some(most) => later.push(Step::SetConcurrency {
            most,
            before: concurrency,
        }),
        _ => {}
    }
    Ok(())
}

/// Where a package is put: its hash is in the key, so that two deployments at once do not take each other's.
fn upload_key(name: &FunctionName, place: &Place, hash: &str) -> String {
    let hash: String = hash.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    format!("{}{hash}.zip", name.uploads(place))
}

/// Those of the tags that are missing or other; `None` if there are none.
fn missing(tags: &Tags, there: &Tags) -> Option<Tags> {
    let differs = |(key, value): &(&String, &String)| there.get(*key) != Some(*value);
    let tags: Tags = tags
        .iter()
        .filter(differs)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!tags.is_empty()).then_some(tags)
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
