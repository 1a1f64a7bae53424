//! What became of an invocation that gave no report: from the words of Lambda to an outcome.
//!
//! Either the function ended badly ([`of_function`]: an HTTP success whose header says `Unhandled`), or Lambda did not start it or lost it
//! ([`of_service`]). What passes by itself is tried again; what only a person can change ends the run, with what to do.

use super::logs::Log;
use crate::aws::said;
use crate::protocol::InvocationOutcome;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use serde::Deserialize;
use std::error::Error;

/// How Rust's allocator says that it has failed.
const ALLOCATION_FAILED: &str = "memory allocation of ";

/// How the bootstrap says, before it ends itself, that its time was over.
pub(super) const OUT_OF_TIME: &str =
    "kappa: the invocation's time is over, and its task computes on without a pause; the lambda ends";

/// What Lambda answers for a function that ended badly.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ended {
    error_type: String,
    error_message: String,
}

/// How a function ended that gave no report.
pub(super) fn of_function(payload: &[u8], log: &Log) -> InvocationOutcome {
    let ended: Ended = serde_json::from_slice(payload).unwrap_or_default();
    let (kind, message) = (ended.error_type.as_str(), ended.error_message.as_str());
    let said = |words: &str| log.lines.iter().any(|line| line.contains(words));
    let exited = kind == "Runtime.ExitError" || message.contains("Runtime exited");
    if kind == "Sandbox.Timedout" || message.contains("Task timed out after") || (exited && said(OUT_OF_TIME)) {
        return InvocationOutcome::TimedOut;
    }
    if let Some(words) = out_of_memory(&ended, log) {
        return InvocationOutcome::OutOfMemory(words);
    }
    let is_other_processor = message.to_lowercase().contains("exec format error") || said("exec format error");
    if is_other_processor || kind == "Runtime.InvalidEntrypoint" || message.contains("InvalidEntrypoint") {
        return InvocationOutcome::Unstartable(log.after(&format!(
            "its program does not start ({kind}: {message}); build it for Linux and for the function's processor (x86_64 or arm64), and deploy that"
        )));
    }
    if let Some(line) = log
        .lines
        .iter()
        .find(|line| line.contains("GLIBC_") && line.contains("not found"))
    {
        return InvocationOutcome::Unstartable(format!(
            "its program was built for a newer system than the function has ({line}); build it on Amazon Linux 2023, or for \
             x86_64-unknown-linux-musl, and deploy that"
        ));
    }
    if (exited && message.contains("signal: killed")) || is_of_sigkill(message) {
        return InvocationOutcome::Killed(log.after("the lambda was killed"));
    }
    // Lambda says with which status or signal it ended; what says neither and dies without a word was not the program.
    if exited && !message.contains(": ") && log.lines.is_empty() {
        return InvocationOutcome::Killed(format!("the lambda is gone: {message}"));
    }
    let sentence = match (kind, message) {
        ("", "") => format!(
            "the lambda failed: {}",
            String::from_utf8_lossy(&payload[..payload.len().min(400)])
        ),
        (kind, message) => format!("the lambda failed ({kind}: {message})"),
    };
    InvocationOutcome::Crashed(log.after(&sentence))
}

/// Whether it says that SIGKILL has ended the function, by the number that its runtime gives such an end: -9, or 128 and 9 as shells have it.
fn is_of_sigkill(message: &str) -> bool {
    let code = message
        .rsplit_once("exited")
        .and_then(|(_, how)| how.rsplit_once("code "));
    code.is_some_and(|(_, code)| matches!(code.trim_end_matches('.').trim(), "-9" | "137"))
}

/// What says that memory was short, if it was: the allocator, Lambda, or the kernel's signal together with Lambda's own measurement.
fn out_of_memory(ended: &Ended, log: &Log) -> Option<String> {
    if let Some(line) = log.lines.iter().rev().find(|line| line.starts_with(ALLOCATION_FAILED)) {
        return Some(line.clone());
    }
    let report = log.report.as_deref().unwrap_or_default();
    let (size, used) = (
        megabytes(report, "Memory Size: "),
        megabytes(report, "Max Memory Used: "),
    );
    let is_full = size.is_some_and(|size| used.is_some_and(|used| used >= size));
    let is_named = ended.error_type.contains("OutOfMemory") || report.contains("OutOfMemory");
    let is_killed = ended.error_message.contains("signal: killed");
    if is_named || (is_killed && is_full) {
        let size = size.map_or(String::new(), |size| format!(" of {size} MB"));
        return Some(format!(
            "the memory{size} of the function was used up; give it more with `kappa deploy .. --memory`"
        ));
    }
    None
}

/// The number after these words in the line with which Lambda sums up.
fn megabytes(report: &str, words: &str) -> Option<u64> {
    let number = report.split_once(words)?.1;
    number.split(' ').next()?.parse().ok()
}

/// Why Lambda gave no answer of the function's. `function` is its name.
pub(super) fn of_service<E>(error: &SdkError<E>, function: &str) -> InvocationOutcome
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let words = said(error);
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            of_code(answer.err().code().unwrap_or_default(), status, function, words)
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => InvocationOutcome::Unstartable(words),
        SdkError::DispatchFailure(_) if could_not_connect(error) => InvocationOutcome::Throttled(words),
        // It may have been started, and may still run: what it says from now on is fenced.
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            InvocationOutcome::Killed(words)
        }
        // Credentials that have run out, most likely: whoever renews them lets the run go on.
        _ => InvocationOutcome::Throttled(words),
    }
}

/// By the code of an error (API reference, `Invoke`, "Errors").
fn of_code(code: &str, status: u16, function: &str, words: String) -> InvocationOutcome {
    let to_do = match code {
        // Room, or something that is being made at the moment. The rule for all others that pass by themselves is below: 429, and 5xx.
        "ResourceConflictException" | "CodeArtifactUserPendingException" | "ExpiredTokenException" => {
            return InvocationOutcome::Throttled(words);
        }
        "ResourceNotFoundException" => {
            format!(
                "there is no function `{function}` in this region and account: deploy it, or name another with --function"
            )
        }
        "AccessDeniedException" | "AccessDenied" => {
            "allow `lambda:InvokeFunction` for it (`kappa policy` prints what is needed)".to_string()
        }
        "UnrecognizedClientException" | "InvalidSignatureException" | "InvalidClientTokenId" => {
            "check the AWS credentials".to_string()
        }
        code if code.starts_with("KMS") => {
            "allow the function the key that encrypts its environment, and enable that key".to_string()
        }
        "EC2AccessDeniedException" => "allow the function's role to make network interfaces for its VPC".to_string(),
        "InvalidSubnetIDException" | "InvalidSecurityGroupIDException" => "correct the VPC of the function".to_string(),
        "InvalidZipFileException" | "InvalidRuntimeException" => "deploy it again".to_string(),
        _ if code.starts_with("EFS") => "correct the file system of the function".to_string(),
        _ if status >= 500 || status == 429 || code.contains("Throttl") => return InvocationOutcome::Throttled(words),
        _ => return InvocationOutcome::Unstartable(words),
    };
    InvocationOutcome::Unstartable(format!("{words}; {to_do}"))
}

/// Whether nothing was sent.
fn could_not_connect(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let client = error.downcast_ref::<hyper_util::client::legacy::Error>();
        if client.is_some_and(hyper_util::client::legacy::Error::is_connect) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::base64;
    use super::*;

    fn ended(kind: &str, message: &str, log: &str) -> InvocationOutcome {
        let payload = serde_json::json!({ "errorType": kind, "errorMessage": message }).to_string();
        of_function(payload.as_bytes(), &Log::of(Some(&base64::encode(log.as_bytes()))))
    }

    fn crash(kind: &str, message: &str, log: &str) -> String {
        match ended(kind, message, log) {
            InvocationOutcome::Crashed(message) => message,
            other => panic!("{other:?}"),
        }
    }

    fn unstartable(outcome: InvocationOutcome) -> String {
        match outcome {
            InvocationOutcome::Unstartable(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_time_out_is_one_whoever_says_so() {
        for (kind, message) in [
            ("", "2026-01-01T00:00:00Z 5f Task timed out after 3.00 seconds"),
            (
                "Sandbox.Timedout",
                "RequestId: 5f Error: Task timed out after 3.00 seconds",
            ),
        ] {
            assert_eq!(ended(kind, message, ""), InvocationOutcome::TimedOut);
        }
        let by_itself = ended(
            "Runtime.ExitError",
            "RequestId: 5f Error: Runtime exited with error: exit status 1",
            OUT_OF_TIME,
        );
        assert_eq!(by_itself, InvocationOutcome::TimedOut);
    }

    #[test]
    fn a_kill_is_no_crash_whoever_tells_it_and_whenever_it_happens() {
        for message in [
            "RequestId: 5f Error: Runtime exited with error: signal: killed",
            "function exited during init with code -9",
            "Worker process exited with code 137",
        ] {
            let outcome = ended("Runtime.ExitError", message, "");
            assert!(
                matches!(outcome, InvocationOutcome::Killed(_)),
                "{message}: {outcome:?}"
            );
        }
        crash(
            "Runtime.ExitError",
            "function exited during init with code 9",
            "it said why",
        );
    }

    #[test]
    fn a_crash_says_how_and_what_the_lambda_said_last() {
        let message = crash(
            "Runtime.ExitError",
            "RequestId: 5f Error: Runtime exited with error: exit status 3",
            "START RequestId: 5f\nabout to leave\nEND RequestId: 5f\n",
        );
        assert!(
            message.contains("exit status 3") && message.contains("about to leave"),
            "{message}"
        );
        assert!(!message.contains("START"), "{message}");
        let message = crash(
            "Runtime.ExitError",
            "Runtime exited before returning a response",
            "about to abort",
        );
        assert!(message.contains("about to abort"), "{message}");
        let message = crash(
            "Runtime.ExitError",
            "RequestId: 5f Error: Runtime exited with error: signal: aborted",
            "",
        );
        assert!(message.contains("aborted"), "{message}");
        assert!(
            matches!(of_function(b"nonsense", &Log::default()), InvocationOutcome::Crashed(said) if said.contains("nonsense"))
        );
    }

    #[test]
    fn a_kill_is_not_the_program_s_fault() {
        let killed = ended(
            "Runtime.ExitError",
            "RequestId: 5f Error: Runtime exited with error: signal: killed",
            "at work",
        );
        assert!(matches!(killed, InvocationOutcome::Killed(_)), "{killed:?}");
        let gone = ended("Runtime.ExitError", "Runtime exited before returning a response", "");
        assert!(matches!(gone, InvocationOutcome::Killed(_)), "{gone:?}");
    }

    #[test]
    fn lack_of_memory_is_seen_however_it_shows() {
        let killed = "RequestId: 5f Error: Runtime exited with error: signal: killed";
        let full = "REPORT RequestId: 5f\tDuration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t";
        let half = "REPORT RequestId: 5f\tDuration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\t";
        for (kind, message, log) in [
            ("Runtime.ExitError", killed, full),
            ("Runtime.OutOfMemory", killed, ""),
            (
                "Runtime.ExitError",
                killed,
                "REPORT RequestId: 5f\tStatus: error\tError Type: Runtime.OutOfMemory",
            ),
            (
                "Runtime.ExitError",
                "RequestId: 5f Error: Runtime exited with error: signal: aborted",
                "memory allocation of 99 bytes failed",
            ),
        ] {
            let outcome = ended(kind, message, log);
            assert!(
                matches!(outcome, InvocationOutcome::OutOfMemory(_)),
                "{kind} {log}: {outcome:?}"
            );
        }
        assert!(matches!(
            ended("Runtime.ExitError", killed, half),
            InvocationOutcome::Killed(_)
        ));
        assert!(
            matches!(ended("Runtime.ExitError", killed, full), InvocationOutcome::OutOfMemory(said) if said.contains("128 MB"))
        );
    }

    #[test]
    fn a_program_that_does_not_start_there_is_said_with_the_way_out() {
        for (kind, message, log, way_out) in [
            (
                "Runtime.InvalidEntrypoint",
                "RequestId: 5f Error: fork/exec /var/task/bootstrap: exec format error",
                "",
                "arm64",
            ),
            (
                "Runtime.InvalidEntrypoint",
                "Couldn't find valid bootstrap(s)",
                "",
                "deploy",
            ),
            (
                "Runtime.ExitError",
                "RequestId: 5f Error: Runtime exited with error: exit status 1",
                "/var/task/bootstrap: /lib64/libc.so.6: version `GLIBC_2.38' not found (required by /var/task/bootstrap)",
                "musl",
            ),
        ] {
            let said = unstartable(ended(kind, message, log));
            assert!(said.contains(way_out), "{said}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_tried_again() {
        for (code, status) in [
            ("TooManyRequestsException", 429),
            ("EC2ThrottledException", 502),
            ("ENILimitReachedException", 502),
            ("ENINotReadyException", 502),
            ("SubnetIPAddressLimitReachedException", 502),
            ("ResourceNotReadyException", 502),
            ("ResourceConflictException", 409),
            ("ServiceException", 500),
            ("ThrottlingException", 400),
            ("ExpiredTokenException", 403),
        ] {
            let outcome = of_code(code, status, "f", "words".into());
            assert_eq!(outcome, InvocationOutcome::Throttled("words".into()), "{code}");
        }
    }

    #[test]
    fn what_only_a_person_can_change_is_said_with_what_to_do() {
        for (code, status, to_do) in [
            ("ResourceNotFoundException", 404, "no function `f`"),
            ("AccessDeniedException", 403, "lambda:InvokeFunction"),
            ("UnrecognizedClientException", 403, "credentials"),
            ("KMSDisabledException", 502, "key"),
            ("KMSAccessDeniedException", 502, "key"),
            ("InvalidSubnetIDException", 502, "VPC"),
            ("InvalidZipFileException", 502, "deploy"),
            ("RequestTooLargeException", 413, "words"),
        ] {
            let said = unstartable(of_code(code, status, "f", "words".into()));
            assert!(said.starts_with("words") && said.contains(to_do), "{code}: {said}");
        }
    }
}
