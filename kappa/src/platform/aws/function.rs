//! What is known of the function, asked once: how long it may run, how much memory it has, and that it is this program.

use super::envelope::{Answered, Event};
use super::failure;
use super::logs::Log;
use crate::aws::said;
use crate::platform::PlatformError;
use crate::platform::remote::{other_program, program};
use crate::protocol::InvocationOutcome;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::ProvideErrorMetadata;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput as Configuration;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{LastUpdateStatus, LogType, State};
use std::time::{Duration, Instant};

/// How long a function that is being made or changed is waited for. One in a VPC takes a minute or two.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long a full function is asked which program it is: each order asks it again.
const PATIENCE_IF_FULL: Duration = Duration::from_secs(5);

/// How often a function is asked that ends before it has answered: a lambda may be killed at any moment.
const QUESTIONS: u32 = 5;

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(500);

/// The time that Lambda gives a function whose configuration does not say.
const USUAL_TIMEOUT: Duration = Duration::from_secs(3);

/// A function that can be invoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// As it was named: a name, an ARN, either perhaps with a version or an alias.
    pub(super) name: String,
    /// After so long Lambda ends it.
    pub(super) timeout: Duration,
    /// In bytes.
    pub(super) memory: Option<u64>,
}

impl Function {
    /// Waits until the function can be invoked, and checks that it is a worker of this program.
    pub(super) async fn find(client: &Client, name: &str) -> Result<Self, PlatformError> {
        let configuration = usable(client, name).await?;
        let timeout = configuration.timeout.and_then(|seconds| u64::try_from(seconds).ok());
        let memory = configuration
            .memory_size
            .and_then(|megabytes| u64::try_from(megabytes).ok());
        let function = Function {
            name: name.to_string(),
            timeout: timeout.map_or(USUAL_TIMEOUT, Duration::from_secs),
            memory: memory.map(|megabytes| megabytes << 20),
        };
        function.greet(client, &configuration).await?;
        Ok(function)
    }

    /// How long an invocation may run: until a little before Lambda would end it.
    pub(super) fn time_limit(&self) -> Duration {
        let margin = (self.timeout / 10).min(Duration::from_secs(2));
        self.timeout.saturating_sub(margin)
    }

    /// An invocation that says which program the function is; and that finds out, before anything of a run is started, whether it can be invoked at all.
    async fn greet(&self, client: &Client, configuration: &Configuration) -> Result<(), PlatformError> {
        let cannot = |cause: &str| {
            let processors: Vec<_> = configuration.architectures().iter().map(ToString::to_string).collect();
            let processors = processors.join(", ");
            Err(PlatformError::Invalid(format!(
                "the function `{}` ({processors}) cannot be used: {cause}",
                self.name
            )))
        };
        let event =
            serde_json::to_vec(&Event::hello()).map_err(|cause| PlatformError::Unavailable(cause.to_string()))?;
        let begin = Instant::now();
        let (mut ends, mut was_late) = (0, false);
        loop {
            let request = client.invoke().function_name(&self.name).log_type(LogType::Tail);
            let outcome = match request.payload(Blob::new(event.clone())).send().await {
                Err(error) => failure::of_service(&error, &self.name),
                Ok(answer) => {
                    let log = Log::of(answer.log_result());
                    let payload = answer.payload().map_or(&b""[..], AsRef::as_ref);
                    match (answer.function_error(), Answered::read(payload)) {
                        (Some(_), _) => failure::of_function(payload, &log),
                        (None, Some(Answered::Hello(theirs))) if theirs == program() => return Ok(()),
                        (None, Some(Answered::Hello(theirs))) => return cannot(&other_program(&program(), &theirs)),
                        (None, _) => {
                            return cannot(
                                "it is no program made with Kappa; deploy this one, or name another with --function",
                            );
                        }
                    }
                }
            };
            match outcome {
                InvocationOutcome::Throttled(cause) if begin.elapsed() < PATIENCE_IF_FULL => {
                    tracing::debug!(cause, "the function is asked again");
                }
                InvocationOutcome::Killed(cause)
                | InvocationOutcome::Crashed(cause)
                | InvocationOutcome::OutOfMemory(cause)
                    if ends + 1 < QUESTIONS =>
                {
                    ends += 1;
                    tracing::debug!(
                        cause,
                        ends,
                        "the function ended before it had answered, and is asked again"
                    );
                }
                // Each of these takes as long as an invocation may take.
                InvocationOutcome::TimedOut if !was_late => {
                    was_late = true;
                    tracing::debug!("the function did not answer in time, and is asked once more");
                }
                InvocationOutcome::Throttled(cause) => {
                    tracing::warn!(
                        cause,
                        "the function could not be asked which program it is; each order asks it"
                    );
                    return Ok(());
                }
                InvocationOutcome::TimedOut => {
                    return cannot("it did not answer a greeting within its time limit; give it a longer one");
                }
                InvocationOutcome::Crashed(cause)
                | InvocationOutcome::Killed(cause)
                | InvocationOutcome::OutOfMemory(cause) => {
                    return cannot(&format!(
                        "it was asked {QUESTIONS} times which program it is, and ended each time: {cause}"
                    ));
                }
                InvocationOutcome::StoreAway(cause)
                | InvocationOutcome::WrongProgram(cause)
                | InvocationOutcome::NeedsRepair(cause)
                | InvocationOutcome::Unstartable(cause) => return cannot(&cause),
                InvocationOutcome::Returned | InvocationOutcome::Unlinked(_) => {
                    return cannot("it answered a greeting by a report");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The configuration of the function, once it is neither being made nor being changed (a04).
async fn usable(client: &Client, name: &str) -> Result<Configuration, PlatformError> {
    let begin = Instant::now();
    loop {
        let asked = client.get_function_configuration().function_name(name);
        let configuration = asked.send().await.map_err(|error| {
            let to_do = match error.code() {
                Some("ResourceNotFoundException") => {
                    format!("; there is no function `{name}` in this region and account: deploy it with `kappa deploy`, or name another with --function")
                }
                Some("AccessDeniedException") => {
                    "; allow `lambda:GetFunctionConfiguration` (`kappa policy` prints what is needed)".to_string()
                }
                _ => String::new(),
            };
            PlatformError::Invalid(format!("{}{to_do}", said(&error)))
        })?;
        let reason = |reason: Option<&str>| reason.unwrap_or("no more was said").to_string();
        if configuration.state() == Some(&State::Failed) {
            let reason = reason(configuration.state_reason());
            return Err(PlatformError::Invalid(format!(
                "the function `{name}` could not be made: {reason}; deploy it again"
            )));
        }
        let is_being_made = configuration.state() == Some(&State::Pending);
        let is_being_changed = configuration.last_update_status() == Some(&LastUpdateStatus::InProgress);
        if !is_being_made && !is_being_changed {
            return Ok(configuration);
        }
        if begin.elapsed() >= PATIENCE {
            let reason = reason(configuration.state_reason());
            return Err(PlatformError::Unavailable(format!(
                "the function `{name}` has been in the making for {PATIENCE:?}: {reason}; try again later"
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Answers as Lambda does of a function whose first lambdas end so before they have answered; gives its address and how often it was invoked.
    async fn lambda(ends: &'static [&'static str]) -> (String, Arc<AtomicU32>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let invoked = Arc::new(AtomicU32::new(0));
        let count = invoked.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer_all(connection, ends, count.clone()));
            }
        });
        (address, invoked)
    }

    async fn answer_all(mut connection: TcpStream, ends: &'static [&'static str], invoked: Arc<AtomicU32>) {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match connection.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            connection.read_exact(&mut body).await.unwrap();
            let (more, body) = match head.starts_with("get ") {
                true => (
                    "",
                    r#"{"State": "Active", "Timeout": 3, "MemorySize": 128}"#.to_string(),
                ),
                false => match ends.get(invoked.fetch_add(1, Ordering::SeqCst) as usize) {
                    Some(end) => {
                        let end = serde_json::json!({"errorType": "Runtime.ExitError", "errorMessage": end});
                        ("x-amz-function-error: Unhandled\r\n", end.to_string())
                    }
                    None => ("", serde_json::to_string(&Answered::hello().response()).unwrap()),
                },
            };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{more}\r\n{body}", body.len());
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    async fn found(address: &str) -> Result<Function, PlatformError> {
        let config = crate::aws::config_of(address, "test", "test");
        Function::find(&Client::new(&config), "words").await
    }

    #[tokio::test]
    async fn a_lambda_that_is_killed_while_it_is_asked_which_program_it_is_is_asked_again() {
        let ends = &[
            "function exited during init with code -9",
            "RequestId: 5f Error: Runtime exited with error: signal: killed",
            "RequestId: 5f Error: Runtime exited with error: exit status 1",
            "Task timed out after 3.00 seconds",
        ];
        let (address, invoked) = lambda(ends).await;
        let function = found(&address).await.unwrap();
        assert_eq!((function.name.as_str(), function.timeout.as_secs()), ("words", 3));
        assert_eq!(invoked.load(Ordering::SeqCst), 5);
    }

    #[tokio::test]
    async fn a_function_that_never_answers_is_refused_with_how_it_ended() {
        let (address, invoked) = lambda(&["RequestId: 5f Error: Runtime exited with error: exit status 7"; 100]).await;
        let said = found(&address).await.unwrap_err().to_string();
        assert!(
            said.contains("`words`") && said.contains("5 times") && said.contains("exit status 7"),
            "{said}"
        );
        assert_eq!(invoked.load(Ordering::SeqCst), QUESTIONS);
    }

    #[test]
    fn an_invocation_ends_before_lambda_ends_it() {
        let limit = |seconds| {
            let timeout = Duration::from_secs(seconds);
            let function = Function {
                name: "f".into(),
                timeout,
                memory: None,
            };
            function.time_limit()
        };
        assert_eq!(limit(3), Duration::from_millis(2700));
        assert_eq!(limit(900), Duration::from_secs(898));
    }
}
