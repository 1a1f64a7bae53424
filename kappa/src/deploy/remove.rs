//! Removes a function with all its parts.
//!
//! Guarantees that only what is Kappa's is removed, and that whoever is killed or interrupted here goes on by doing it again: the log group goes last, because
//! its tags say where a package may be.

use super::account::Account;
use super::apply::delete_function;
use super::error::DeployError;
use super::interrupt::Interrupt;
use super::look::look;
use super::names::{FunctionName, Place, is_ours};
use super::say::shown;

/// What was removed, and what was left because it is not Kappa's.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) removed: Vec<String>,
    pub(crate) foreign: Vec<String>,
}

/// Removes what there is; `place`: look for packages there, too.
pub(crate) async fn remove(
    account: &Account,
    name: &FunctionName,
    place: Option<&Place>,
    interrupt: &Interrupt,
    mut did: impl FnMut(&str),
) -> Result<Removed, DeployError> {
    let found = look(account, name, place).await?;
    let mut removed = Removed::default();
    let mut done = |what: String, was_there: bool| {
        if was_there {
            did(&what);
            removed.removed.push(what);
        }
    };
    let mut foreign = Vec::new();
    let is_function_ours = found.function.as_ref().map(|function| is_ours(&function.tags));
    interrupt.check()?;
    match is_function_ours {
        Some(true) => done(
            format!("function {name}"),
            delete_function(account, name, interrupt).await?,
        ),
        Some(false) => foreign.push(format!("function {name}")),
        None => {}
    }
    for upload in &found.uploads {
        interrupt.check()?;
        account.remove_upload(upload).await?;
        done(format!("package {}", shown(upload)), true);
    }
    interrupt.check()?;
    let role = name.role(&account.region);
    match found.role.as_ref().map(|role| is_ours(&role.tags)) {
        Some(true) => done(format!("role {role}"), account.delete_role(&role).await?),
        Some(false) => foreign.push(format!("role {role}")),
        None => {}
    }
    interrupt.check()?;
    let group = name.log_group();
    match found.group.as_ref().map(|group| is_ours(&group.tags)) {
        // Lambda makes it again without tags, if the role may do that.
        Some(is_tagged) if is_tagged || is_function_ours == Some(true) => {
            done(format!("log group {group}"), account.delete_group(&group).await?);
        }
        Some(_) => foreign.push(format!("log group {group}")),
        None => {}
    }
    removed.foreign = foreign;
    Ok(removed)
}
