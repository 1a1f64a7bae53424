//! What a worker must know to be heard.
//!
//! Guarantees that it can neither be guessed (256 bits from the operating system) nor found out by measuring how long a refusal takes, and that
//! it is not printed by accident.

use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};
use std::io;
use subtle::ConstantTimeEq;

const BYTES: usize = 32;

/// A run's secret. Its `Debug` does not show it; its serialisation, which is made for the worker alone, is the secret itself.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secret([u8; BYTES]);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        OsRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
        Ok(Secret(bytes))
    }

    /// The value of the `authorization` header of whoever knows it.
    pub(super) fn authorization(&self) -> String {
        let mut text = String::with_capacity(SCHEME.len() + 2 * BYTES);
        text.push_str(SCHEME);
        for byte in self.0 {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Whether the header's value is the right one. How long that takes depends on the value's length alone.
    pub(super) fn is_presented_by(&self, header: &[u8]) -> bool {
        self.authorization().as_bytes().ct_eq(header).into()
    }
}

const SCHEME: &str = "Bearer ";

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same_and_none_is_printed() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "Secret(not shown)");
        assert!(!format!("{:?}", Some(&one)).contains(&one.authorization()[SCHEME.len()..]));
    }

    #[test]
    fn only_the_whole_secret_is_right() {
        let secret = Secret::generate().unwrap();
        let right = secret.authorization();
        assert_eq!(right.len(), "Bearer ".len() + 64);
        assert!(secret.is_presented_by(right.as_bytes()));
        for length in 0..right.len() {
            assert!(!secret.is_presented_by(&right.as_bytes()[..length]), "{length}");
            let mut wrong = right.clone().into_bytes();
            wrong[length] ^= 1;
            assert!(!secret.is_presented_by(&wrong), "{length}");
        }
        assert!(!secret.is_presented_by(format!("{right}0").as_bytes()));
        assert!(!secret.is_presented_by(Secret::generate().unwrap().authorization().as_bytes()));
    }
}
