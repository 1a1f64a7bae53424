//! What there is of a function.

use super::account::Account;
use super::error::DeployError;
use super::names::{FunctionName, Place};
use super::plan::{Found, recorded_place};

/// Looks for all parts of a function; `place`: look for packages there, too.
pub(crate) async fn look(account: &Account, name: &FunctionName, place: Option<&Place>) -> Result<Found, DeployError> {
    let (group_name, role_name) = (name.log_group(), name.role(&account.region));
    let (function, group, role) = tokio::join!(
        account.function(name.as_str()),
        account.group(&group_name),
        account.role(&role_name),
    );
    let mut found = Found {
        function: function?,
        group: group?,
        role: role?,
        uploads: Vec::new(),
    };
    let mut places: Vec<_> = place.cloned().into_iter().chain(recorded_place(&found)).collect();
    places.dedup();
    for place in places {
        let uploads = account.uploads(&place.bucket, &name.uploads(&place)).await?;
        found
            .uploads
            .extend(uploads.into_iter().filter(|upload| upload.key.ends_with(".zip")));
    }
    Ok(found)
}
