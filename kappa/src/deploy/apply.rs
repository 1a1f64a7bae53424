//! Carries out a plan, step by step.
//!
//! Guarantees that a plan that fails or is interrupted before its last step that can be undone leaves what was there before: whatever a step might have made is
//! noted before it is begun, and undone in the reverse order. What cannot be undone is said.

use super::account::{Account, Code};
use super::error::DeployError;
use super::interrupt::Interrupt;
use super::names::{FunctionName, Tags};
use super::plan::{Configuration, Found, State, Step, Upload, Wanted, first_for_good};
use super::policy::{self, Scope};
use super::program::Arch;
use super::say::shown;
use serde_json::Value;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long a new role may take until Lambda can assume it (a04), and IAM to know what it was just told.
const ROLE_PATIENCE: Duration = Duration::from_secs(60);

/// How long a function may take until it is usable.
const READY_PATIENCE: Duration = Duration::from_secs(300);

/// How long a service may refuse to make something because there are too many requests.
const THROTTLED_PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at something that is on its way.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Carries out one plan.
pub(crate) struct Applying<'a> {
    account: &'a Account,
    wanted: &'a Wanted,
    found: &'a Found,
    package: &'a [u8],
    interrupt: &'a Interrupt,
    /// The ARN of the role that is made on the way.
    role: Option<String>,
    undo: Vec<Undo>,
    /// Whether the function itself is as it is wanted: from there on nothing is undone.
    is_deployed: bool,
}

/// How a step is undone.
enum Undo {
    DeleteGroup,
    DeleteRole,
    SetRolePolicy(Value),
    DeleteRolePolicy,
    RemoveUpload(Upload),
    DeleteFunction,
    Configure(Configuration),
}

/// What became of a plan that was not carried out.
#[derive(Debug)]
pub(crate) struct Unapplied {
    pub(crate) cause: DeployError,
    /// What was undone.
    pub(crate) undone: Vec<String>,
    /// What could not be, and why.
    pub(crate) left: Vec<String>,
    /// Whether the function itself is as it was wanted, and only what comes after it is missing.
    pub(crate) is_deployed: bool,
}

impl<'a> Applying<'a> {
    pub(crate) fn new(
        account: &'a Account,
        wanted: &'a Wanted,
        found: &'a Found,
        package: &'a [u8],
        interrupt: &'a Interrupt,
    ) -> Self {
        Applying {
            account,
            wanted,
            found,
            package,
            interrupt,
            role: found.role.as_ref().map(|role| role.arn.clone()),
            undo: Vec::new(),
            is_deployed: false,
        }
    }

    /// Carries out the steps; `did` hears of each that is done.
    pub(crate) async fn apply(mut self, steps: &[Step], mut did: impl FnMut(&Step)) -> Result<(), Unapplied> {
        let for_good = first_for_good(steps);
        let mut outcome = Ok(());
        for (index, step) in steps.iter().enumerate() {
            if index >= for_good {
                self.settle();
            }
            outcome = self.carry_out(step).await;
            match &outcome {
                Ok(()) => did(step),
                Err(_) => break,
            }
        }
        match outcome {
            Ok(()) => Ok(()),
            Err(cause) => {
                let (undone, left) = self.undo_all().await;
                Err(Unapplied {
                    cause,
                    undone,
                    left,
                    is_deployed: self.is_deployed,
                })
            }
        }
    }

    fn name(&self) -> &'a FunctionName {
        &self.wanted.name
    }

    async fn carry_out(&mut self, step: &Step) -> Result<(), DeployError> {
        self.interrupt.check()?;
        let (account, name) = (self.account, self.name());
        let function = name.as_str();
        let (group, role) = (name.log_group(), name.role(&account.region));
        match step {
            Step::CreateGroup { tags } => {
                self.undo.push(Undo::DeleteGroup);
                let made = self.make(|| account.create_group(&group, tags)).await;
                self.made(made)
            }
            Step::SetRetention { days, .. } => account.set_retention(&group, *days).await,
            Step::TagGroup { tags } => {
                let arn = self.found.group.as_ref().map(|group| group.arn.as_str());
                account.tag_group(arn.unwrap_or_default(), tags).await
            }
            Step::CreateRole { tags } => {
                self.undo.push(Undo::DeleteRole);
                let made = self.make(|| account.create_role(&role, name, tags)).await;
                self.role = made.as_ref().ok().cloned();
                self.made(made.map(drop))
            }
            Step::SetRolePolicy { place, before } => {
                self.undo.push(match before {
                    Some(before) => Undo::SetRolePolicy(before.clone()),
                    None => Undo::DeleteRolePolicy,
                });
                let scope = self
                    .role
                    .as_deref()
                    .and_then(|arn| Scope::of_role(arn, &account.region));
                let policy = policy::role(&scope.unwrap_or_else(Scope::anywhere), Some(name), place.as_ref());
                let patience = Patience::new(ROLE_PATIENCE);
                patience
                    .retry(self.interrupt, DeployError::is_missing, || {
                        account.set_role_policy(&role, &policy)
                    })
                    .await
            }
            Step::TagRole { tags } => account.tag_role(&role, tags).await,
            Step::RemoveRole => account.delete_role(&role).await.map(drop),
            Step::Upload { to } => {
                self.undo.push(Undo::RemoveUpload(to.clone()));
                account.upload(to, self.package).await
            }
            Step::RemoveUploads { uploads } => {
                for upload in uploads {
                    account.remove_upload(upload).await?;
                }
                Ok(())
            }
            Step::CreateFunction {
                configuration,
                arch,
                upload,
                tags,
            } => {
                self.undo.push(Undo::DeleteFunction);
                let arn = self.role_of(configuration)?;
                let create = || self.create_function(&arn, configuration, *arch, upload.as_ref(), tags);
                let created = self
                    .patience(configuration)
                    .retry(self.interrupt, is_role_unknown, create)
                    .await;
                self.made(created)?;
                self.wait_until_ready().await
            }
            Step::Configure { after, before } => {
                // Another change may be on its way.
                self.wait_until_not_pending().await?;
                self.undo.push(Undo::Configure(before.clone()));
                let arn = self.role_of(after)?;
                let configure = || account.configure(function, &arn, after);
                self.patience(after)
                    .retry(self.interrupt, is_role_unknown, configure)
                    .await?;
                self.wait_until_ready().await
            }
            Step::SetCode { arch, upload } => {
                self.wait_until_not_pending().await?;
                account.set_code(function, *arch, self.code(upload.as_ref())).await?;
                self.settle();
                self.wait_until_ready().await
            }
            Step::SetConcurrency { most, .. } => account.set_concurrency(function, *most).await,
            Step::TagFunction { tags } => {
                let arn = self.found.function.as_ref().map(|function| function.arn.as_str());
                account.tag_function(arn.unwrap_or_default(), tags).await
            }
        }
    }

    /// The function is the new one: what was done stays.
    fn settle(&mut self) {
        self.undo.clear();
        self.is_deployed = true;
    }

    /// Makes something. It is asked for once, and again only after a refusal because of too many requests: after any other trouble it may be there, and has to
    /// be undone.
    async fn make<T, F: Future<Output = Result<T, DeployError>>>(
        &self,
        ask: impl FnMut() -> F,
    ) -> Result<T, DeployError> {
        let patience = Patience::new(THROTTLED_PATIENCE);
        patience.retry(self.interrupt, DeployError::is_throttled, ask).await
    }

    async fn create_function(
        &self,
        role: &str,
        configuration: &Configuration,
        arch: Arch,
        upload: Option<&Upload>,
        tags: &Tags,
    ) -> Result<(), DeployError> {
        let name = self.name().as_str();
        let create = || {
            let code = self.code(upload);
            self.account
                .create_function(name, role, configuration, arch, code, tags)
        };
        self.make(create).await
    }

    /// Somebody else has made it since it was looked for: it is not this deployment's to remove. It cannot be this one's own, since nothing is made by asking
    /// again after an answer that was lost.
    fn made(&mut self, outcome: Result<(), DeployError>) -> Result<(), DeployError> {
        if outcome.as_ref().is_err_and(DeployError::is_there_already) {
            self.undo.pop();
        }
        outcome
    }

    fn role_of(&self, configuration: &Configuration) -> Result<String, DeployError> {
        let role = configuration.role.clone().or_else(|| self.role.clone());
        role.ok_or_else(|| DeployError::Nonsense("the role that was made has no ARN".into()))
    }

    /// A role of Kappa's may be new; another one is there or is not.
    fn patience(&self, configuration: &Configuration) -> Patience {
        let is_made = configuration.role.is_none() || configuration.role == self.role;
        Patience::new(if is_made { ROLE_PATIENCE } else { Duration::ZERO })
    }

    fn code(&self, upload: Option<&'a Upload>) -> Code<'a> {
        match upload {
            Some(upload) => Code::Uploaded(upload),
            None => Code::Sent(self.package),
        }
    }

    async fn wait_until_ready(&self) -> Result<(), DeployError> {
        wait_until_ready(self.account, self.name(), self.interrupt).await
    }

    async fn wait_until_not_pending(&self) -> Result<(), DeployError> {
        match self.wait_until_ready().await {
            // What failed is about to be changed.
            Err(DeployError::Unusable { .. }) => Ok(()),
            other => other,
        }
    }

    /// Undoes what may have been done, the last first. Nobody interrupts that.
    async fn undo_all(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut undone, mut left) = (Vec::new(), Vec::new());
        let name = self.name();
        let (group, role) = (name.log_group(), name.role(&self.account.region));
        while let Some(undo) = self.undo.pop() {
            let (what, outcome) = match undo {
                Undo::DeleteGroup => (format!("log group {group}"), self.account.delete_group(&group).await),
                Undo::DeleteRole => (format!("role {role}"), self.account.delete_role(&role).await),
                Undo::SetRolePolicy(before) => (
                    format!("policy of role {role}"),
                    self.account.set_role_policy(&role, &before).await.map(|()| true),
                ),
                // The role goes with all its policies.
                Undo::DeleteRolePolicy if matches!(self.undo.last(), Some(Undo::DeleteRole)) => continue,
                Undo::DeleteRolePolicy => (
                    format!("policy of role {role}"),
                    self.account
                        .delete_role_policy(&role, super::names::ROLE_POLICY)
                        .await
                        .map(|()| true),
                ),
                Undo::RemoveUpload(upload) => (
                    format!("package {}", shown(&upload)),
                    self.account.remove_upload(&upload).await.map(|()| true),
                ),
                Undo::DeleteFunction => (
                    format!("function {name}"),
                    delete_function(self.account, name, &Interrupt::never()).await,
                ),
                Undo::Configure(before) => (
                    format!("configuration of function {name}"),
                    self.restore(&before).await.map(|()| true),
                ),
            };
            match outcome {
                Ok(true) => undone.push(what),
                // It had not been made yet.
                Ok(false) => {}
                Err(cause) => left.push(format!("{what} ({cause})")),
            }
        }
        (undone, left)
    }

    async fn restore(&self, before: &Configuration) -> Result<(), DeployError> {
        let never = Interrupt::never();
        let arn = self.role_of(before)?;
        match wait_until_ready(self.account, self.name(), &never).await {
            Ok(()) | Err(DeployError::Unusable { .. }) => {}
            Err(cause) => return Err(cause),
        }
        self.account.configure(self.name().as_str(), &arn, before).await?;
        wait_until_ready(self.account, self.name(), &never).await
    }
}

/// Waits until a function can be invoked and its last change has taken effect (a04).
pub(crate) async fn wait_until_ready(
    account: &Account,
    name: &FunctionName,
    interrupt: &Interrupt,
) -> Result<(), DeployError> {
    let mut patience = Patience::new(READY_PATIENCE);
    let unusable = |reason: &dyn Display| DeployError::Unusable {
        name: name.to_string(),
        reason: reason.to_string(),
    };
    loop {
        match account.function_state(name.as_str()).await? {
            State::Ready => return Ok(()),
            State::Failed(reason) => return Err(unusable(&reason)),
            State::Pending if patience.is_over() => {
                let limit = READY_PATIENCE.as_secs();
                return Err(unusable(&format_args!(
                    "it is still being set up after {limit} s; look again with `kappa status`"
                )));
            }
            State::Pending => patience.pause(interrupt).await?,
        }
    }
}

/// Deletes a function; says whether there was one. While it is being set up, Lambda refuses that.
pub(crate) async fn delete_function(
    account: &Account,
    name: &FunctionName,
    interrupt: &Interrupt,
) -> Result<bool, DeployError> {
    let is_busy = |error: &DeployError| error.code() == "ResourceConflictException";
    let delete = || account.delete_function(name.as_str());
    Patience::new(READY_PATIENCE).retry(interrupt, is_busy, delete).await
}

/// Lambda cannot assume a role that it has not heard of yet, and says no more than that.
fn is_role_unknown(error: &DeployError) -> bool {
    let is_about_role = || error.to_string().to_lowercase().contains("role");
    error.code() == "InvalidParameterValueException" && is_about_role()
}

/// How long to go on trying.
struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Patience {
            until: Instant::now() + limit,
            pause: SHORTEST_PAUSE,
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Each pause is longer than the one before.
    async fn pause(&mut self, interrupt: &Interrupt) -> Result<(), DeployError> {
        let pause = self.pause;
        self.pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        interrupt.sleep(pause).await
    }

    /// Tries again while the error is one that goes away.
    async fn retry<T, F: Future<Output = Result<T, DeployError>>>(
        mut self,
        interrupt: &Interrupt,
        goes_away: impl Fn(&DeployError) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, DeployError> {
        loop {
            match attempt().await {
                Err(error) if goes_away(&error) && !self.is_over() => self.pause(interrupt).await?,
                outcome => return outcome,
            }
        }
    }
}
