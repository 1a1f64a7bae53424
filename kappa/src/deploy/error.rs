//! Why a deployment did not come about.

use super::package::PackageError;
use super::plan::PlanError;
use super::program::ProgramError;
use crate::aws::{AwsError, said};
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// Why something was not deployed, removed or shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeployError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A service refused, or was not there.
    #[error("{said}{}", hint(code))]
    Call {
        /// The service's name for what went wrong; empty if it did not answer.
        code: String,
        said: String,
    },
    /// A service said something that makes no sense.
    #[error("{0}")]
    Nonsense(String),
    #[error("the function {name} did not become usable: {reason}")]
    Unusable { name: String, reason: String },
    #[error("interrupted")]
    Interrupted,
}

impl DeployError {
    pub(crate) fn of<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        DeployError::Call {
            code: error.code().unwrap_or_default().to_string(),
            said: said(error),
        }
    }

    /// The service's name for what went wrong.
    pub(crate) fn code(&self) -> &str {
        match self {
            DeployError::Call { code, .. } => code,
            _ => "",
        }
    }

    /// Whether what was asked for is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(
            self.code(),
            "ResourceNotFoundException" | "NoSuchEntity" | "NoSuchEntityException" | "NoSuchKey" | "NoSuchBucket"
        )
    }

    /// Whether it was refused only because there were too many requests at that time.
    pub(crate) fn is_throttled(&self) -> bool {
        matches!(
            self.code(),
            "Throttling"
                | "ThrottlingException"
                | "ThrottledException"
                | "RequestThrottled"
                | "RequestThrottledException"
                | "RequestLimitExceeded"
                | "TooManyRequestsException"
        )
    }

    /// Whether what was to be made is there already.
    pub(crate) fn is_there_already(&self) -> bool {
        matches!(
            self.code(),
            "ResourceConflictException" | "ResourceAlreadyExistsException" | "EntityAlreadyExists"
        )
    }
}

/// What to do about it.
fn hint(code: &str) -> &'static str {
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
            "; `kappa policy` prints the policies that are needed: the one called `deploy` is for whoever deploys"
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch" => {
            "; the credentials are no longer valid, or not for this account: sign in again, or set others"
        }
        "NoSuchBucket" => "; make the bucket first, in the function's region",
        "CodeStorageExceededException" => "; remove functions, or old versions of them, that are not needed any more",
        _ => "",
    }
}

/// `None` if what was asked for is not there.
pub(crate) fn if_there<T>(outcome: Result<T, DeployError>) -> Result<Option<T>, DeployError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(code: &str) -> DeployError {
        DeployError::Call {
            code: code.into(),
            said: "lambda GetFunction: no".into(),
        }
    }

    #[test]
    fn a_refusal_says_how_to_get_the_rights() {
        let message = call("AccessDeniedException").to_string();
        assert!(
            message.starts_with("lambda GetFunction: no; ") && message.contains("`kappa policy`"),
            "{message}"
        );
        assert!(call("ExpiredToken").to_string().contains("sign in again"));
        assert_eq!(call("Other").to_string(), "lambda GetFunction: no");
    }

    #[test]
    fn what_is_not_there_is_no_error_for_whoever_asks() {
        assert!(matches!(if_there::<()>(Err(call("NoSuchEntity"))), Ok(None)));
        assert!(if_there::<()>(Err(call("AccessDenied"))).is_err());
    }
}
