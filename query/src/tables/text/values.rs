//! What a text looks like, and what it is as a value of a type.
//!
//! Nothing is ever lost: a type is chosen for a column only if every text of it is a value of that type.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, TimeUnit};
use std::collections::BTreeSet;

/// Instants are kept in this zone.
const UTC: &str = "+00:00";

/// The kinds that texts are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Boolean,
    /// Fits into 64 bits.
    Integer,
    /// Has more digits.
    LongInteger,
    /// With a fraction.
    Decimal,
    /// With an exponent.
    Scientific,
    /// `NaN` and `inf`.
    NotFinite,
    Date,
    /// A date and a time of day.
    Stamp,
    /// The same with a zone.
    Instant,
    Text,
}

/// What the texts of a column look like, all together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Looks {
    kinds: BTreeSet<Look>,
    /// The most digits before and after the point.
    whole_digits: usize,
    fraction_digits: usize,
    /// Whether a number would lose digits as a double.
    loses_digits: bool,
    /// Whether a time has digits below the microsecond, and whether all times fit into nanoseconds.
    has_nanoseconds: bool,
    is_far: bool,
}

impl Looks {
    /// Adds a text, which is not empty.
    pub(super) fn add(&mut self, text: &str) {
        if self.kinds.contains(&Look::Text) {
            return;
        }
        let kind = self.look(text.trim_matches([' ', '\t']));
        self.kinds.insert(kind);
    }

    /// Adds what other texts looked like.
    pub(super) fn merge(&mut self, other: &Looks) {
        self.kinds.extend(&other.kinds);
        self.whole_digits = self.whole_digits.max(other.whole_digits);
        self.fraction_digits = self.fraction_digits.max(other.fraction_digits);
        self.loses_digits |= other.loses_digits;
        self.has_nanoseconds |= other.has_nanoseconds;
        self.is_far |= other.is_far;
    }

    /// Whether there was nothing to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The narrowest type that has all of the texts as values.
    pub(super) fn data_type(&self) -> DataType {
        use Look::{Boolean, Date, Decimal, Instant, Integer, LongInteger, NotFinite, Scientific, Stamp};
        let all_are = |allowed: &[Look]| self.kinds.iter().all(|kind| allowed.contains(kind));
        let has = |kind| self.kinds.contains(&kind);
        if self.kinds.is_empty() || has(Look::Text) {
            DataType::Utf8
        } else if all_are(&[Boolean]) {
            DataType::Boolean
        } else if all_are(&[Integer]) {
            DataType::Int64
        } else if all_are(&[Date]) {
            DataType::Date32
        } else if all_are(&[Date, Stamp]) {
            self.timestamp(None)
        } else if all_are(&[Instant]) {
            self.timestamp(Some(UTC))
        } else if all_are(&[NotFinite]) {
            DataType::Utf8
        } else if all_are(&[Integer, LongInteger, Decimal, Scientific, NotFinite]) {
            let digits = self.whole_digits + self.fraction_digits;
            let is_plain = all_are(&[Integer, LongInteger, Decimal]);
            let is_whole = all_are(&[Integer, LongInteger]);
            match (is_plain, self.loses_digits || is_whole) {
                (_, false) => DataType::Float64,
                (true, true) if digits <= usize::from(DECIMAL128_MAX_PRECISION) => {
                    DataType::Decimal128(DECIMAL128_MAX_PRECISION, self.fraction_digits as i8)
                }
                (_, true) => DataType::Utf8,
            }
        } else {
            DataType::Utf8
        }
    }

    fn timestamp(&self, zone: Option<&str>) -> DataType {
        let zone = zone.map(Into::into);
        match (self.has_nanoseconds, self.is_far) {
            (false, _) => DataType::Timestamp(TimeUnit::Microsecond, zone),
            (true, false) => DataType::Timestamp(TimeUnit::Nanosecond, zone),
            (true, true) => DataType::Utf8,
        }
    }

    fn look(&mut self, text: &str) -> Look {
        if let Some(number) = Number::parse(text) {
            self.whole_digits = self.whole_digits.max(number.whole.len());
            self.fraction_digits = self.fraction_digits.max(number.fraction.len());
            self.loses_digits |= number.loses_digits(text);
            return match (number.has_exponent, number.has_point) {
                (true, _) if text.parse::<f64>().is_ok_and(f64::is_infinite) => Look::Text,
                (true, _) => Look::Scientific,
                (false, true) => Look::Decimal,
                (false, false) if text.parse::<i64>().is_ok() => Look::Integer,
                (false, false) => Look::LongInteger,
            };
        }
        if boolean(text).is_some() {
            return Look::Boolean;
        }
        if not_finite(text).is_some() {
            return Look::NotFinite;
        }
        if let Some(day) = date(text) {
            // It may be among times of nanoseconds.
            const DAY: i64 = 86_400_000_000_000;
            self.is_far |= i64::from(day).checked_mul(DAY).is_none();
            return Look::Date;
        }
        let Some(moment) = Moment::parse(text) else {
            return Look::Text;
        };
        self.has_nanoseconds |= moment.nanosecond % 1_000 != 0;
        self.is_far |= moment.nanoseconds().is_none();
        match moment.offset {
            Some(_) => Look::Instant,
            None => Look::Stamp,
        }
    }
}

/// A number in digits. `007` is none: whoever writes zeros in front means a code, and would lose them.
struct Number<'a> {
    whole: &'a str,
    fraction: &'a str,
    has_point: bool,
    has_exponent: bool,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Option<Number<'a>> {
        let text = text.strip_prefix('-').unwrap_or(text);
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        if let Some(exponent) = exponent {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !is_digits(digits) {
                return None;
            }
        }
        let (whole, fraction, has_point) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, fraction, true),
            None => (mantissa, "", false),
        };
        if !is_digits(whole) || !is_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        Some(Number {
            whole: if whole == "0" { "" } else { whole },
            fraction: fraction.trim_end_matches('0'),
            has_point,
            has_exponent: exponent.is_some(),
        })
    }

    /// Whether digits that somebody may need are lost in a double: those of large numbers, not the last ones of a fraction.
    fn loses_digits(&self, text: &str) -> bool {
        const SAFE_DIGITS: usize = 15;
        const LARGE: usize = 10;
        if self.has_exponent || self.whole.len() < LARGE || self.whole.len() + self.fraction.len() <= SAFE_DIGITS {
            return false;
        }
        let Ok(double) = text.parse::<f64>() else { return true };
        let shown = format!("{}", double.abs());
        let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
        whole != self.whole || fraction != self.fraction
    }
}

/// `true` and `false`, however they are written.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match () {
        () if text.eq_ignore_ascii_case("true") => Some(true),
        () if text.eq_ignore_ascii_case("false") => Some(false),
        () => None,
    }
}

fn not_finite(text: &str) -> Option<f64> {
    let (sign, name) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    match name.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "infinity" => Some(sign * f64::INFINITY),
        _ => None,
    }
}

/// A whole number of 64 bits.
pub(super) fn integer(text: &str) -> Option<i64> {
    Number::parse(text).filter(|number| !number.has_point && !number.has_exponent)?;
    text.parse().ok()
}

/// A double.
pub(super) fn double(text: &str) -> Option<f64> {
    if let Some(number) = Number::parse(text) {
        let double = text.parse().ok().filter(|double: &f64| double.is_finite())?;
        return (!number.loses_digits(text)).then_some(double);
    }
    not_finite(text)
}

/// A decimal with so many digits after the point.
pub(super) fn decimal(text: &str, scale: u8) -> Option<i128> {
    let number = Number::parse(text).filter(|number| !number.has_exponent)?;
    let missing = usize::from(scale).checked_sub(number.fraction.len())?;
    if number.whole.len() + usize::from(scale) > usize::from(DECIMAL128_MAX_PRECISION) {
        return None;
    }
    let mut value: i128 = 0;
    let zeros = std::iter::repeat_n(b'0', missing);
    for digit in number.whole.bytes().chain(number.fraction.bytes()).chain(zeros) {
        value = value * 10 + i128::from(digit - b'0');
    }
    Some(if text.starts_with('-') { -value } else { value })
}

/// A day, as days since 1970: `2024-02-29`.
pub(super) fn date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > days_of_month {
        return None;
    }
    Some(days_since_1970(year as i32, month as i32, day as i32))
}

/// Counts days in years that begin in March, so that the leap day is the last one.
fn days_since_1970(year: i32, month: i32, day: i32) -> i32 {
    const DAYS_TO_1970: i32 = 719_468;
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - DAYS_TO_1970
}

fn digits(bytes: &[u8]) -> Option<u32> {
    let mut number = 0;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u32::from(byte - b'0');
    }
    (!bytes.is_empty()).then_some(number)
}

/// A date and a time of day: `2024-02-29T12:30[:05[.123456789]][Z|+01:00]`, with `T` or a space.
struct Moment {
    day: i32,
    second: u32,
    nanosecond: u32,
    /// Seconds east of Greenwich, if it says so.
    offset: Option<i32>,
}

impl Moment {
    fn parse(text: &str) -> Option<Moment> {
        let day = date(text.get(..10)?)?;
        let time = text.get(10..)?.strip_prefix(['T', 't', ' '])?;
        let zone_at = time.find(['Z', 'z', '+', '-', ' ']).unwrap_or(time.len());
        let (clock, zone) = time.split_at(zone_at);
        let offset = match zone.trim_start() {
            "" if zone.is_empty() => None,
            "Z" | "z" | "UTC" | "+00" => Some(0),
            zone => Some(offset(zone)?),
        };
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut parts = clock.split(':').map(|part| match part.len() {
            2 => digits(part.as_bytes()),
            _ => None,
        });
        let (hour, minute) = (parts.next()??, parts.next()??);
        let second = match parts.next() {
            Some(second) => second?,
            None if fraction == "0" => 0,
            None => return None,
        };
        if hour > 23 || minute > 59 || second > 59 || parts.next().is_some() || fraction.len() > 9 {
            return None;
        }
        let nanosecond = digits(fraction.as_bytes())? * 10_u32.pow(9 - fraction.len() as u32);
        Some(Moment {
            day,
            second: hour * 3600 + minute * 60 + second,
            nanosecond,
            offset,
        })
    }

    fn seconds(&self) -> i64 {
        i64::from(self.day) * 86_400 + i64::from(self.second) - i64::from(self.offset.unwrap_or(0))
    }

    fn microseconds(&self) -> Option<i64> {
        let is_whole = self.nanosecond.is_multiple_of(1_000);
        is_whole.then(|| self.seconds() * 1_000_000 + i64::from(self.nanosecond / 1_000))
    }

    fn nanoseconds(&self) -> Option<i64> {
        let seconds = self.seconds().checked_mul(1_000_000_000)?;
        seconds.checked_add(i64::from(self.nanosecond))
    }
}

fn offset(zone: &str) -> Option<i32> {
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match &zone.as_bytes()[1..] {
        [h1, h2] => (digits(&[*h1, *h2])?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i32)
}

/// An instant, or a time of day on a date, in this unit.
pub(super) fn timestamp(text: &str, unit: TimeUnit, has_zone: bool) -> Option<i64> {
    let moment = match date(text) {
        Some(day) if !has_zone => Moment {
            day,
            second: 0,
            nanosecond: 0,
            offset: None,
        },
        _ => Moment::parse(text)?,
    };
    if moment.offset.is_some() != has_zone {
        return None;
    }
    match unit {
        TimeUnit::Nanosecond => moment.nanoseconds(),
        _ => moment.microseconds(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_of(texts: &[&str]) -> DataType {
        let mut looks = Looks::default();
        for text in texts {
            looks.add(text);
        }
        looks.data_type()
    }

    #[test]
    fn a_column_has_a_type_that_all_of_its_texts_are_values_of() {
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        for (texts, expected) in [
            (&["1", "-20", " 3 "][..], DataType::Int64),
            (&["1", "0.5", "1e3", ".5", "-1."], DataType::Float64),
            (&["1", "nan", "-inf"], DataType::Float64),
            (&["nan"], DataType::Utf8),
            (&["true", "FALSE"], DataType::Boolean),
            (&["true", "1"], DataType::Utf8),
            (&["2024-02-29", "0001-01-01"], DataType::Date32),
            (&["2023-02-29"], DataType::Utf8),
            (&["2024-02-29", "2024-02-29 12:30"], micros(None)),
            (&["9999-12-31T23:59:59.999999"], micros(None)),
            (
                &["2024-02-29T12:30:05Z", "2024-02-29T12:30:05.5+01:30"],
                micros(Some("+00:00")),
            ),
            (&["2024-02-29T12:30:05Z", "2024-02-29T12:30:05"], DataType::Utf8),
            (
                &["2024-02-29T12:30:05.123456789"],
                DataType::Timestamp(TimeUnit::Nanosecond, None),
            ),
            (
                &["2024-02-29T12:30:05.123456789", "9999-12-31T00:00:00"],
                DataType::Utf8,
            ),
            (&["24:00", "x"], DataType::Utf8),
            (&[], DataType::Utf8),
        ] {
            assert_eq!(type_of(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn no_digit_is_lost() {
        // Codes keep their zeros, long numbers their last digits.
        assert_eq!(type_of(&["01234", "50667"]), DataType::Utf8);
        assert_eq!(type_of(&["12345678901234567890", "1"]), DataType::Decimal128(38, 0));
        assert_eq!(type_of(&["12345678901234567.89", "1"]), DataType::Decimal128(38, 2));
        assert_eq!(type_of(&["9007199254740993", "0.5"]), DataType::Decimal128(38, 1));
        assert_eq!(type_of(&["9007199254740993", "1e3"]), DataType::Utf8);
        assert_eq!(type_of(&["1e999"]), DataType::Utf8);
        assert_eq!(type_of(&["0.1234567890123456789"]), DataType::Float64);
        assert_eq!(type_of(&[&"9".repeat(39)]), DataType::Utf8);
    }

    #[test]
    fn texts_become_values() {
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("1.0"), None);
        assert_eq!(decimal("-12.5", 2), Some(-1250));
        assert_eq!(decimal("0.125", 2), None);
        assert_eq!(double("-1e-3"), Some(-0.001));
        assert_eq!(double("Infinity"), Some(f64::INFINITY));
        assert_eq!((date("1970-01-01"), date("2000-03-01")), (Some(0), Some(11_017)));
        assert_eq!(
            (date("0001-01-01"), date("9999-12-31")),
            (Some(-719_162), Some(2_932_896))
        );
        let at = |text, has_zone| timestamp(text, TimeUnit::Microsecond, has_zone);
        assert_eq!(at("1970-01-02", false), Some(86_400_000_000));
        assert_eq!(at("1970-01-01 00:00:01.5", false), Some(1_500_000));
        assert_eq!(at("1970-01-01T01:00:00+01", true), Some(0));
        assert_eq!(at("1969-12-31T23:30:00-0030", true), Some(0));
        assert_eq!(at("1970-01-01T01:00:00", true), None);
    }
}
