//! Types and functions of the programs.

use super::log::log;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use kappa::prelude::{Error, Result};

/// Seen when it goes, and who has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tok(pub i64);

pub fn tok(number: i64) -> Tok {
    log(format!("+{number}"));
    Tok(number)
}

impl Tok {
    pub fn id(&self) -> i64 {
        self.0
    }

    pub fn maybe(&self) -> Option<i64> {
        (self.0 % 3 != 0).then_some(self.0)
    }

    pub fn pair(&self) -> (i64, i64) {
        (self.0 & 3, self.0)
    }
}

impl Drop for Tok {
    fn drop(&mut self) {
        log(format!("-{}", self.0));
    }
}

/// Takes a token, and is done with it.
pub fn consume(token: Tok) -> i64 {
    token.0
}

/// A number that counts itself: `Copy`, with methods that change it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Cur {
    pub at: i64,
}

impl Cur {
    pub fn bump(&mut self) -> i64 {
        self.at = self.at.wrapping_add(1);
        self.at
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.at ^= by;
        self.at
    }

    pub fn plus(self, other: i64) -> i64 {
        self.at.wrapping_mul(3).wrapping_add(other)
    }

    pub fn peek(&self) -> i64 {
        self.at
    }
}

/// A vector of three numbers, whatever happens to it.
pub trait Roll {
    fn roll(&mut self) -> i64;
    fn put(&mut self, value: i64) -> i64;
}

impl Roll for Vec<i64> {
    fn roll(&mut self) -> i64 {
        let first = self.remove(0);
        self.push(first ^ 3);
        first
    }

    fn put(&mut self, value: i64) -> i64 {
        self.push(value);
        self.remove(0)
    }
}

/// Two tokens that can be moved out one by one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pair {
    pub left: Tok,
    pub right: Tok,
}

/// Fields to be moved out and assigned again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rec {
    pub name: String,
    pub id: i64,
    pub more: (String, i64),
}

pub fn rec(number: i64) -> Rec {
    Rec {
        name: format!("r{number}"),
        id: number,
        more: (format!("m{number}"), number ^ 1),
    }
}

/// For patterns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    Dot,
    Line(i64, i64),
    Frame { w: i64, h: (i64, i64) },
    Named(String, Option<i64>),
}

pub fn shape(number: i64) -> Shape {
    match number.rem_euclid(5) {
        0 => Shape::Dot,
        1 => Shape::Line(number, number ^ 2),
        2 => Shape::Frame {
            w: number,
            h: (number & 3, number >> 2),
        },
        3 => Shape::Named(format!("s{number}"), Some(number ^ 1)),
        _ => Shape::Named(format!("n{number}"), None),
    }
}

pub fn even(x: i64) -> Option<i64> {
    (x % 2 == 0).then_some(x / 2)
}

pub fn named(x: i64) -> Option<(i64, String)> {
    (x % 3 != 1).then(|| (x, format!("k{x}")))
}

pub fn checked(x: i64) -> std::result::Result<i64, std::num::ParseIntError> {
    if x % 7 == 3 { "seven".parse() } else { Ok(x ^ 1) }
}

pub fn three(a: i64, b: i64, c: i64) -> i64 {
    a.wrapping_mul(3).wrapping_add(b).wrapping_mul(5).wrapping_sub(c)
}

pub fn at(index: i64) -> usize {
    index.rem_euclid(4) as usize
}

pub fn at3(index: i64) -> usize {
    index.rem_euclid(3) as usize
}

/// Small enough for every loop and length.
pub fn few(x: i64) -> i64 {
    x.rem_euclid(4)
}

pub fn weigh(text: &str, by: i64) -> i64 {
    text.bytes()
        .fold(by, |sum, byte| sum.wrapping_mul(31) ^ i64::from(byte))
}

pub fn apply(f: impl Fn(i64) -> i64, x: i64) -> i64 {
    f(x)
}

/// Every attribute that changes how a value is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Skips {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub second_list: Vec<u8>,
    #[serde(rename = "3rd", alias = "third")]
    pub third: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Untagged {
    Number(i64),
    Pair(i64, i64),
    Text { text: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Tagged {
    NothingAtAll,
    Some {
        value: i64,
        #[serde(default)]
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
pub enum Adjacent {
    Nothing,
    Value(i64),
    Both { left: i64, right: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flat {
    pub id: i64,
    #[serde(flatten)]
    pub inner: Inner,
    #[serde(flatten)]
    pub rest: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inner {
    pub x: i64,
    pub y: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transparent(pub Option<Option<i64>>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct Converted(pub i64);

impl From<i64> for Converted {
    fn from(value: i64) -> Self {
        Converted(value ^ 0x55)
    }
}

impl From<Converted> for i64 {
    fn from(value: Converted) -> i64 {
        value.0 ^ 0x55
    }
}

pub fn skips(x: i64) -> Skips {
    Skips {
        first: (x % 2 == 0).then_some(x as u8),
        second_list: vec![7; (x & 1) as usize],
        third: x,
    }
}

pub fn untagged(x: i64) -> Untagged {
    match x.rem_euclid(3) {
        0 => Untagged::Number(x),
        1 => Untagged::Pair(x, 1),
        _ => Untagged::Text { text: format!("u{x}") },
    }
}

pub fn tagged(x: i64) -> Tagged {
    match x.rem_euclid(2) {
        0 => Tagged::NothingAtAll,
        _ => Tagged::Some {
            value: x,
            name: format!("g{x}"),
        },
    }
}

pub fn adjacent(x: i64) -> Adjacent {
    match x.rem_euclid(3) {
        0 => Adjacent::Nothing,
        1 => Adjacent::Value(x),
        _ => Adjacent::Both {
            left: x,
            right: format!("a{x}"),
        },
    }
}

pub fn flat(x: i64) -> Flat {
    Flat {
        id: x,
        inner: Inner { x, y: even(x) },
        rest: BTreeMap::from([(format!("f{}", x & 7), x)]),
    }
}

pub fn transparent(x: i64) -> Transparent {
    Transparent(match x.rem_euclid(3) {
        0 => None,
        1 => Some(None),
        _ => Some(Some(x)),
    })
}

pub fn converted(x: i64) -> Converted {
    Converted(x)
}

/// The field of a record, by its name.
#[macro_export]
macro_rules! field {
    ($value:expr, $field:ident) => {
        ($value).$field
    };
}

/// A name and a value, as `tracing` has them: the name is no variable.
#[macro_export]
macro_rules! event {
    ($($name:ident = $value:expr),* $(,)?) => {
        $crate::support::log(concat!($(stringify!($name), ";"),*).to_string() + &format!("{:?}", ($($value,)*)))
    };
}

/// Evaluates its argument twice.
#[macro_export]
macro_rules! twice {
    ($value:expr) => {
        ($value).wrapping_add($value)
    };
}
