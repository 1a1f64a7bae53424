//! The calls of AWS that deployment makes, each in one function; nothing is decided here.

use super::error::{DeployError, if_there};
use super::names::{FunctionName, ROLE_PATH, ROLE_POLICY, Tags};
use super::plan::{Configuration, Function, Group, HANDLER, RUNTIME, Role, State, Upload};
use super::policy;
use super::program::Arch;
use aws_config::retry::RetryConfig;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Architecture, Environment, FunctionCode, FunctionConfiguration, LastUpdateStatus, PackageType, Runtime,
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

/// How many functions' tags are asked for at once.
const AT_ONCE: usize = 8;

/// An account of AWS in one region.
pub(crate) struct Account {
    lambda: aws_sdk_lambda::Client,
    iam: aws_sdk_iam::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    s3: aws_sdk_s3::Client,
    pub(crate) region: String,
}

/// Where the code of a function comes from.
pub(crate) enum Code<'a> {
    Sent(&'a [u8]),
    Uploaded(&'a Upload),
}

impl Account {
    /// The account that the surroundings name.
    pub(crate) async fn open() -> Result<Self, DeployError> {
        let config = crate::aws::config().await?;
        // A bucket in the path, and not in the host's name: that works everywhere.
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(true)
            .build();
        Ok(Account {
            lambda: aws_sdk_lambda::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
        })
    }

    // Functions

    pub(crate) async fn function(&self, name: &str) -> Result<Option<Function>, DeployError> {
        let asked = self.lambda.get_function().function_name(name).send().await;
        let Some(answer) = if_there(asked.map_err(|error| DeployError::of(&error)))? else {
            return Ok(None);
        };
        if let Some(trouble) = answer.tags_error() {
            return Err(DeployError::Nonsense(format!(
                "cannot read the tags of the function {name}, which say whose it is: {}",
                trouble.message()
            )));
        }
        let configuration = answer.configuration();
        let configuration =
            configuration.ok_or_else(|| DeployError::Nonsense(format!("Lambda said nothing of {name}")))?;
        let mut function = describe(configuration);
        function.concurrency = answer.concurrency().and_then(|of| of.reserved_concurrent_executions());
        function.tags = answer
            .tags()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Ok(Some(function))
    }

    pub(crate) async fn function_state(&self, name: &str) -> Result<State, DeployError> {
        let asked = self
            .lambda
            .get_function_configuration()
            .function_name(name)
            .send()
            .await;
        let answer = asked.map_err(|error| DeployError::of(&error))?;
        Ok(state(
            answer.state().map(|state| state.as_str()),
            answer.state_reason(),
            answer.last_update_status(),
            answer.last_update_status_reason(),
        ))
    }

    /// All functions that could be Kappa's, by name.
    pub(crate) async fn functions(&self) -> Result<Vec<(String, Function)>, DeployError> {
        let pages = self.lambda.list_functions().into_paginator().items().send();
        let all = pages
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| DeployError::of(&error))?;
        let could_be = |function: &FunctionConfiguration| {
            function.runtime().map(Runtime::as_str) == Some(RUNTIME) && function.handler() == Some(HANDLER)
        };
        let with_tags = stream::iter(all.into_iter().filter(could_be)).map(|found| async move {
            let mut function = describe(&found);
            let asked = self.lambda.list_tags().resource(&function.arn).send().await;
            let answer = match if_there(asked.map_err(|error| DeployError::of(&error))) {
                // Whoever may see the tags of some functions alone is told of those.
                Err(error) if error.code() == "AccessDeniedException" => None,
                // It may have been removed meanwhile.
                outcome => outcome?,
            };
            function.tags = answer.and_then(|answer| answer.tags).into_iter().flatten().collect();
            Ok((found.function_name().unwrap_or_default().to_string(), function))
        });
        with_tags.buffered(AT_ONCE).try_collect().await
    }

    /// Asks once, as all that makes something: after an answer that was lost, the SDK would ask again and hear that it is there already, as if somebody else
    /// had made it.
    pub(crate) async fn create_function(
        &self,
        name: &str,
        role: &str,
        configuration: &Configuration,
        arch: Arch,
        code: Code<'_>,
        tags: &Tags,
    ) -> Result<(), DeployError> {
        let code = match code {
            Code::Sent(bytes) => FunctionCode::builder().zip_file(Blob::new(bytes)),
            Code::Uploaded(upload) => FunctionCode::builder().s3_bucket(&upload.bucket).s3_key(&upload.key),
        };
        let request = self
            .lambda
            .create_function()
            .function_name(name)
            .role(role)
            .code(code.build());
        let request = request
            .runtime(Runtime::from(configuration.runtime.as_str()))
            .handler(&configuration.handler)
            .description(&configuration.description)
            .memory_size(configuration.memory)
            .timeout(configuration.timeout)
            .environment(environment(configuration))
            .architectures(Architecture::from(arch.as_str()))
            .set_tags(Some(tags.clone().into_iter().collect()));
        let once = aws_sdk_lambda::config::Builder::new().retry_config(RetryConfig::disabled());
        let created = request.customize().config_override(once).send().await;
        created.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn configure(
        &self,
        name: &str,
        role: &str,
        configuration: &Configuration,
    ) -> Result<(), DeployError> {
        let request = self
            .lambda
            .update_function_configuration()
            .function_name(name)
            .role(role);
        let request = request
            .runtime(Runtime::from(configuration.runtime.as_str()))
            .handler(&configuration.handler)
            .description(&configuration.description)
            .memory_size(configuration.memory)
            .timeout(configuration.timeout)
            .environment(environment(configuration));
        request.send().await.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn set_code(&self, name: &str, arch: Arch, code: Code<'_>) -> Result<(), DeployError> {
        let request = self.lambda.update_function_code().function_name(name);
        let request = match code {
            Code::Sent(bytes) => request.zip_file(Blob::new(bytes)),
            Code::Uploaded(upload) => request.s3_bucket(&upload.bucket).s3_key(&upload.key),
        };
        let request = request.architectures(Architecture::from(arch.as_str()));
        request.send().await.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn set_concurrency(&self, name: &str, most: i32) -> Result<(), DeployError> {
        let request = self
            .lambda
            .put_function_concurrency()
            .function_name(name)
            .reserved_concurrent_executions(most);
        request.send().await.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn tag_function(&self, arn: &str, tags: &Tags) -> Result<(), DeployError> {
        let tags = tags.clone().into_iter().collect();
        let request = self.lambda.tag_resource().resource(arn).set_tags(Some(tags));
        request.send().await.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn delete_function(&self, name: &str) -> Result<bool, DeployError> {
        let asked = self.lambda.delete_function().function_name(name).send().await;
        Ok(if_there(asked.map_err(|error| DeployError::of(&error)))?.is_some())
    }

    // Log groups

    pub(crate) async fn group(&self, name: &str) -> Result<Option<Group>, DeployError> {
        let mut pages = self
            .logs
            .describe_log_groups()
            .log_group_name_prefix(name)
            .into_paginator()
            .items()
            .send();
        while let Some(found) = pages.next().await {
            let found = found.map_err(|error| DeployError::of(&error))?;
            if found.log_group_name() != Some(name) {
                continue;
            }
            // One kind of ARN ends in `:*`; tags want the other.
            let arn = found.log_group_arn().or(found.arn()).unwrap_or_default();
            let arn = arn.strip_suffix(":*").unwrap_or(arn).to_string();
            let asked = self.logs.list_tags_for_resource().resource_arn(&arn).send().await;
            let Some(answer) = if_there(asked.map_err(|error| DeployError::of(&error)))? else {
                return Ok(None);
            };
            return Ok(Some(Group {
                arn,
                retention: found.retention_in_days(),
                bytes: found.stored_bytes().unwrap_or(0),
                tags: answer.tags.into_iter().flatten().collect(),
            }));
        }
        Ok(None)
    }

    /// Asks once.
    pub(crate) async fn create_group(&self, name: &str, tags: &Tags) -> Result<(), DeployError> {
        let tags = tags.clone().into_iter().collect();
        let request = self.logs.create_log_group().log_group_name(name).set_tags(Some(tags));
        let once = aws_sdk_cloudwatchlogs::config::Builder::new().retry_config(RetryConfig::disabled());
        let created = request.customize().config_override(once).send().await;
        created.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn set_retention(&self, name: &str, days: i32) -> Result<(), DeployError> {
        let request = self
            .logs
            .put_retention_policy()
            .log_group_name(name)
            .retention_in_days(days);
        request.send().await.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn tag_group(&self, arn: &str, tags: &Tags) -> Result<(), DeployError> {
        let tags = tags.clone().into_iter().collect();
        let request = self.logs.tag_resource().resource_arn(arn).set_tags(Some(tags));
        request.send().await.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn delete_group(&self, name: &str) -> Result<bool, DeployError> {
        let asked = self.logs.delete_log_group().log_group_name(name).send().await;
        Ok(if_there(asked.map_err(|error| DeployError::of(&error)))?.is_some())
    }

    // Roles

    pub(crate) async fn role(&self, name: &str) -> Result<Option<Role>, DeployError> {
        let asked = self.iam.get_role().role_name(name).send().await;
        let Some(answer) = if_there(asked.map_err(|error| DeployError::of(&error)))? else {
            return Ok(None);
        };
        let Some(role) = answer.role() else { return Ok(None) };
        let asked = self
            .iam
            .get_role_policy()
            .role_name(name)
            .policy_name(ROLE_POLICY)
            .send()
            .await;
        let policy = if_there(asked.map_err(|error| DeployError::of(&error)))?;
        let policy = policy.and_then(|answer| serde_json::from_str(&percent_decoded(&answer.policy_document)).ok());
        let tags = role
            .tags()
            .iter()
            .map(|tag| (tag.key().to_string(), tag.value().to_string()));
        Ok(Some(Role {
            arn: role.arn().to_string(),
            policy,
            tags: tags.collect(),
        }))
    }

    /// The names of all roles that Kappa has made for functions of this region.
    pub(crate) async fn roles(&self) -> Result<Vec<String>, DeployError> {
        let pages = self
            .iam
            .list_roles()
            .path_prefix(ROLE_PATH)
            .into_paginator()
            .items()
            .send();
        let all = pages
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| DeployError::of(&error))?;
        let end = format!("-{}", self.region);
        let names = all.iter().map(|role| role.role_name().to_string());
        Ok(names.filter(|name| name.ends_with(&end)).collect())
    }

    /// Gives its ARN. Asks once.
    pub(crate) async fn create_role(
        &self,
        name: &str,
        function: &FunctionName,
        tags: &Tags,
    ) -> Result<String, DeployError> {
        let tags = tags
            .iter()
            .map(|(key, value)| aws_sdk_iam::types::Tag::builder().key(key).value(value).build());
        let tags = tags
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| DeployError::Nonsense(cause.to_string()))?;
        let request = self.iam.create_role().role_name(name).path(ROLE_PATH);
        let request = request
            .assume_role_policy_document(policy::trust().to_string())
            .description(format!(
                "What the Lambda function {function} may do; made by kappa deploy"
            ))
            .set_tags(Some(tags));
        let once = aws_sdk_iam::config::Builder::new().retry_config(RetryConfig::disabled());
        let created = request.customize().config_override(once).send().await;
        let answer = created.map_err(|error| DeployError::of(&error))?;
        let role = answer
            .role()
            .ok_or_else(|| DeployError::Nonsense(format!("IAM said nothing of the role {name}")))?;
        Ok(role.arn().to_string())
    }

    pub(crate) async fn set_role_policy(&self, role: &str, policy: &Value) -> Result<(), DeployError> {
        let request = self.iam.put_role_policy().role_name(role).policy_name(ROLE_POLICY);
        let request = request.policy_document(policy.to_string());
        request.send().await.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn delete_role_policy(&self, role: &str, policy: &str) -> Result<(), DeployError> {
        let asked = self
            .iam
            .delete_role_policy()
            .role_name(role)
            .policy_name(policy)
            .send()
            .await;
        if_there(asked.map_err(|error| DeployError::of(&error))).map(drop)
    }

    pub(crate) async fn tag_role(&self, role: &str, tags: &Tags) -> Result<(), DeployError> {
        let tags = tags
            .iter()
            .map(|(key, value)| aws_sdk_iam::types::Tag::builder().key(key).value(value).build());
        let tags = tags
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| DeployError::Nonsense(cause.to_string()))?;
        let request = self.iam.tag_role().role_name(role).set_tags(Some(tags));
        request.send().await.map(drop).map_err(|error| DeployError::of(&error))
    }

    /// Deletes a role with all policies that it has, also those that somebody else has given it: it cannot be deleted before.
    pub(crate) async fn delete_role(&self, name: &str) -> Result<bool, DeployError> {
        let asked = self.iam.list_role_policies().role_name(name).send().await;
        let Some(inline) = if_there(asked.map_err(|error| DeployError::of(&error)))? else {
            return Ok(false);
        };
        for policy in inline.policy_names() {
            self.delete_role_policy(name, policy).await?;
        }
        let asked = self.iam.list_attached_role_policies().role_name(name).send().await;
        let attached = if_there(asked.map_err(|error| DeployError::of(&error)))?;
        for policy in attached.iter().flat_map(|answer| answer.attached_policies()) {
            let Some(arn) = policy.policy_arn() else { continue };
            let asked = self
                .iam
                .detach_role_policy()
                .role_name(name)
                .policy_arn(arn)
                .send()
                .await;
            if_there(asked.map_err(|error| DeployError::of(&error)))?;
        }
        let asked = self.iam.delete_role().role_name(name).send().await;
        Ok(if_there(asked.map_err(|error| DeployError::of(&error)))?.is_some())
    }

    // Packages in buckets

    /// What is under a prefix; nothing, if there is no such bucket.
    pub(crate) async fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, DeployError> {
        let mut pages = self
            .s3
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut uploads = Vec::new();
        while let Some(page) = pages.next().await {
            let Some(page) = if_there(page.map_err(|error| DeployError::of(&error)))? else {
                break;
            };
            uploads.extend(
                page.contents()
                    .iter()
                    .filter_map(|object| object.key())
                    .map(|key| Upload {
                        bucket: bucket.to_string(),
                        key: key.to_string(),
                    }),
            );
        }
        Ok(uploads)
    }

    pub(crate) async fn upload(&self, to: &Upload, bytes: &[u8]) -> Result<(), DeployError> {
        let request = self
            .s3
            .put_object()
            .bucket(&to.bucket)
            .key(&to.key)
            .body(bytes.to_vec().into());
        request.send().await.map(drop).map_err(|error| DeployError::of(&error))
    }

    pub(crate) async fn remove_upload(&self, upload: &Upload) -> Result<(), DeployError> {
        let asked = self
            .s3
            .delete_object()
            .bucket(&upload.bucket)
            .key(&upload.key)
            .send()
            .await;
        if_there(asked.map_err(|error| DeployError::of(&error))).map(drop)
    }
}

fn environment(configuration: &Configuration) -> Environment {
    let variables = configuration.environment.clone().into_iter().collect();
    Environment::builder().set_variables(Some(variables)).build()
}

fn describe(found: &FunctionConfiguration) -> Function {
    let text = |text: Option<&str>| text.unwrap_or_default().to_string();
    let variables = found.environment().and_then(|environment| environment.variables());
    Function {
        arn: text(found.function_arn()),
        configuration: Configuration {
            role: found.role().map(ToString::to_string),
            memory: found.memory_size().unwrap_or(0),
            timeout: found.timeout().unwrap_or(0),
            environment: variables
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            description: text(found.description()),
            runtime: text(found.runtime().map(Runtime::as_str)),
            handler: text(found.handler()),
        },
        arch: text(found.architectures().first().map(Architecture::as_str)),
        hash: text(found.code_sha256()),
        size: found.code_size(),
        is_zip: found.package_type().is_none_or(|kind| *kind == PackageType::Zip),
        concurrency: None,
        tags: Tags::new(),
        state: state(
            found.state().map(|state| state.as_str()),
            found.state_reason(),
            found.last_update_status(),
            found.last_update_status_reason(),
        ),
        modified: text(found.last_modified()),
    }
}

/// Lambda says two things of a function: whether it can be invoked, and what became of its last change. In lists it says neither.
fn state(state: Option<&str>, reason: Option<&str>, update: Option<&LastUpdateStatus>, why: Option<&str>) -> State {
    let because = |what: &str, reason: Option<&str>| match reason {
        Some(reason) if !reason.is_empty() => State::Failed(format!("{what}: {reason}")),
        _ => State::Failed(what.to_string()),
    };
    match (state, update) {
        (Some("Failed"), _) => because("Lambda could not set it up", reason),
        (_, Some(LastUpdateStatus::Failed)) => because("Lambda could not change it", why),
        (Some("Pending"), _) | (_, Some(LastUpdateStatus::InProgress)) => State::Pending,
        // One that has not been used for weeks is `Inactive`, and wakes up when it is invoked.
        (None | Some("Active" | "Inactive"), _) => State::Ready,
        (Some(other), _) => because(&format!("its state is {other}"), reason),
    }
}

/// IAM gives policies as RFC 3986 encodes them.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_ready_when_it_can_be_invoked_and_its_last_change_is_done() {
        let of = |one, update: Option<&str>| state(one, None, update.map(LastUpdateStatus::from).as_ref(), None);
        assert_eq!(of(Some("Active"), Some("Successful")), State::Ready);
        assert_eq!(of(Some("Inactive"), None), State::Ready);
        assert_eq!(of(Some("Pending"), Some("Successful")), State::Pending);
        assert_eq!(of(Some("Active"), Some("InProgress")), State::Pending);
        assert!(matches!(of(Some("Failed"), None), State::Failed(_)));
        assert!(matches!(of(Some("Active"), Some("Failed")), State::Failed(_)));
        let why = state(Some("Active"), None, Some(&LastUpdateStatus::Failed), Some("no room"));
        assert_eq!(why, State::Failed("Lambda could not change it: no room".into()));
    }

    #[test]
    fn a_policy_is_read_as_iam_writes_it() {
        assert_eq!(percent_decoded("%7B%22a%22%3A%20%22%2B+%22%7D"), "{\"a\": \"++\"}");
        assert_eq!(percent_decoded("100%, %zz, %4"), "100%, %zz, %4");
    }
}
