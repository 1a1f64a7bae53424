//! What a platform and its endpoint must both know.

use reqwest::header::HeaderValue;
use std::fmt;
use subtle::ConstantTimeEq;

/// The environment variable in which both have it.
pub const SECRET_VARIABLE: &str = "KAPPA_FUNCTION_SECRET";

/// Shortest secret in characters.
const SHORTEST: usize = 16;

/// A secret between a platform and its endpoint. Its `Debug` does not show it.
#[derive(Clone)]
pub struct FunctionSecret(HeaderValue);

/// Why there is no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nobody has set it.
    #[error(
        "{SECRET_VARIABLE} is not set: give platform and endpoint the same secret, for example one that `openssl rand -hex 32` makes"
    )]
    Missing,
    /// It can be guessed, or not be sent.
    #[error(
        "{SECRET_VARIABLE} must be at least {SHORTEST} visible ASCII characters without spaces; `openssl rand -hex 32` makes a good one"
    )]
    Unfit,
}

impl FunctionSecret {
    /// This text.
    ///
    /// # Errors
    /// If it is too short, or has characters that cannot be sent.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        if text.len() < SHORTEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Unfit);
        }
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| SecretError::Unfit)?;
        header.set_sensitive(true);
        Ok(FunctionSecret(header))
    }

    /// The one in the environment.
    ///
    /// # Errors
    /// If there is none, or it is unfit.
    pub fn from_environment() -> Result<Self, SecretError> {
        match std::env::var(SECRET_VARIABLE) {
            Ok(text) => FunctionSecret::new(&text),
            Err(std::env::VarError::NotPresent) => Err(SecretError::Missing),
            Err(std::env::VarError::NotUnicode(_)) => Err(SecretError::Unfit),
        }
    }

    /// The value of the `authorization` header of whoever knows it.
    pub(super) fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Whether the header's value is the right one. How long that takes depends on the value's length alone.
    pub(super) fn is_presented_by(&self, header: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(header).into()
    }
}

impl fmt::Debug for FunctionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FunctionSecret(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_right_and_it_is_not_printed() {
        let text = "0123456789abcdef0123";
        let secret = FunctionSecret::new(text).unwrap();
        assert!(secret.is_presented_by(format!("Bearer {text}").as_bytes()));
        for wrong in [
            "",
            "Bearer ",
            text,
            "Bearer 0123456789abcdef012",
            "Bearer 0123456789abcdef01234",
            "bearer 0123456789abcdef0123",
        ] {
            assert!(!secret.is_presented_by(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{secret:?} {:?}", secret.authorization()).contains("0123"));
    }

    #[test]
    fn what_can_be_guessed_or_not_be_sent_is_refused_with_the_way_out() {
        for unfit in [
            "",
            "short",
            "with spaces between words",
            "with\nlines in the middle",
            "ä".repeat(20).as_str(),
        ] {
            let refused = FunctionSecret::new(unfit).unwrap_err();
            assert_eq!(refused, SecretError::Unfit);
            assert!(refused.to_string().contains("openssl rand"), "{refused}");
        }
    }
}
