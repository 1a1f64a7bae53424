//! The scale factor: how much data, in units of the specification's scale 1 (about 1 GB of text).

use std::fmt;
use std::str::FromStr;

/// A scale factor that the generator can produce: from 0.001 to 100 000.
///
/// Below 1 there is no official data; the generator extrapolates, which is what tests want. Prints without a superfluous fraction, so
/// that it can name a folder.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Scale(f64);

impl Scale {
    /// The smallest factor: below it the generator leaves tables empty.
    pub const SMALLEST: f64 = 0.001;
    /// The largest factor that the specification defines.
    pub const LARGEST: f64 = 100_000.0;

    /// Scale 1.
    pub const ONE: Scale = Scale(1.0);

    /// Checks the bounds.
    pub fn new(factor: f64) -> Result<Self, InvalidScale> {
        if (Self::SMALLEST..=Self::LARGEST).contains(&factor) {
            Ok(Scale(factor))
        } else {
            Err(InvalidScale(factor.to_string()))
        }
    }

    /// The factor as a number.
    pub fn factor(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Scale {
    type Err = InvalidScale;

    fn from_str(text: &str) -> Result<Self, InvalidScale> {
        let factor: f64 = text.trim().parse().map_err(|_| InvalidScale(text.to_owned()))?;
        Scale::new(factor)
    }
}

/// Not a scale factor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scale factor; give a number from {smallest} to {largest}, for example 1", smallest = Scale::SMALLEST, largest = Scale::LARGEST)]
pub struct InvalidScale(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_prints_as_it_is_written_on_the_command_line() {
        for (text, printed) in [
            ("1", "1"),
            ("1.0", "1"),
            ("0.01", "0.01"),
            (" 100 ", "100"),
            ("1e3", "1000"),
        ] {
            assert_eq!(text.parse::<Scale>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_bounds() {
        for text in ["", "one", "0", "-1", "NaN", "inf", "0.0001", "1000000", "1 GB"] {
            let message = text.parse::<Scale>().unwrap_err().to_string();
            assert!(message.contains("from 0.001 to 100000"), "{message}");
        }
    }
}
