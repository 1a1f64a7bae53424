//! A task's arguments from JSON. What is wrong is said with the parameter's name.

use crate::task::{Arguments as _, TaskCall, TaskFunction};
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};
use std::io::Read;

/// The JSON that `--input` names: the text itself, the content of a file (`@FILE`), or stdin (`@-`).
pub(super) fn read(input: &str) -> Result<Value, String> {
    let (text, place) = match input.strip_prefix('@') {
        None => (input.to_string(), "--input".to_string()),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|cause| format!("cannot read the input from stdin: {cause}"))?;
            (text, "stdin".to_string())
        }
        Some(file) => {
            let text =
                std::fs::read_to_string(file).map_err(|cause| format!("cannot read the input file {file}: {cause}"))?;
            (text, file.to_string())
        }
    };
    serde_json::from_str(&text).map_err(|cause| format!("{place} is not JSON: {cause}"))
}

/// A call with the arguments in an object by the parameters' names, or in an array in their order. The only argument of a task with one
/// parameter needs neither.
pub(super) fn call<F: TaskFunction>(input: Value) -> Result<TaskCall<F>, String> {
    let values = values(F::PARAMETERS, input)?;
    F::Arguments::from_tuple(Arguments {
        parameters: F::PARAMETERS,
        values,
    })
    .map(TaskCall::new)
    .map_err(|cause| cause.to_string())
}

/// What the task takes, for messages.
pub(super) fn signature(parameters: &[&str]) -> String {
    match parameters {
        [] => "the task takes no arguments".to_string(),
        [only] => format!("the task takes the argument `{only}`"),
        _ => format!("the task takes the arguments `{}`", parameters.join("`, `")),
    }
}

/// The values in the parameters' order; `None` for one that is not there.
fn values(parameters: &[&str], input: Value) -> Result<Vec<Option<Value>>, String> {
    let is_named = |fields: &serde_json::Map<String, Value>| parameters.iter().any(|name| fields.contains_key(*name));
    match (input, parameters.len()) {
        // Anything else is the only argument itself, be it an array or an object.
        (Value::Object(fields), 1) if !is_named(&fields) => Ok(vec![Some(Value::Object(fields))]),
        (Value::Object(mut fields), _) => {
            let values = parameters.iter().map(|name| fields.remove(*name)).collect();
            match fields.keys().next() {
                Some(unknown) => Err(format!("unknown argument `{unknown}`: {}", signature(parameters))),
                None => Ok(values),
            }
        }
        (single, 1) => Ok(vec![Some(single)]),
        (Value::Array(values), count) if values.len() == count => Ok(values.into_iter().map(Some).collect()),
        (Value::Array(values), _) => Err(format!(
            "the input has {} values: {}",
            values.len(),
            signature(parameters)
        )),
        _ => Err(format!(
            "the input is neither an object nor an array: {}",
            signature(parameters)
        )),
    }
}

/// Deserialises a tuple of arguments.
struct Arguments {
    parameters: &'static [&'static str],
    values: Vec<Option<Value>>,
}

impl<'de> Deserializer<'de> for Arguments {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.parameters.is_empty() {
            return visitor.visit_unit();
        }
        visitor.visit_seq(Remaining {
            parameters: self.parameters.iter(),
            values: self.values.into_iter(),
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

struct Remaining {
    parameters: std::slice::Iter<'static, &'static str>,
    values: std::vec::IntoIter<Option<Value>>,
}

impl<'de> SeqAccess<'de> for Remaining {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let (Some(name), Some(value)) = (self.parameters.next(), self.values.next()) else {
            return Ok(None);
        };
        let argument = match value {
            Some(value) => seed
                .deserialize(value)
                .map_err(|cause| Error::custom(format!("argument `{name}`: {cause}")))?,
            // One that may be null may be left out.
            None => seed
                .deserialize(Value::Null)
                .map_err(|_| Error::custom(format!("argument `{name}` is missing")))?,
        };
        Ok(Some(argument))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    type Three = (Vec<String>, String, Option<u8>);
    const NAMES: &[&str] = &["files", "word", "limit"];

    fn three(input: Value) -> Result<Three, String> {
        let values = values(NAMES, input)?;
        Three::deserialize(Arguments {
            parameters: NAMES,
            values,
        })
        .map_err(|cause| cause.to_string())
    }

    #[test]
    fn arguments_come_by_name_or_in_order_and_those_that_may_be_null_may_be_left_out() {
        let expected = (vec!["a".to_string()], "b".to_string(), Some(3));
        assert_eq!(
            three(json!({"limit": 3, "word": "b", "files": ["a"]})),
            Ok(expected.clone())
        );
        assert_eq!(three(json!([["a"], "b", 3])), Ok(expected));
        assert_eq!(
            three(json!({"word": "b", "files": []})),
            Ok((vec![], "b".to_string(), None))
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_the_parameters_name() {
        for (input, message) in [
            (json!({"files": []}), "argument `word` is missing"),
            (
                json!({"files": 7, "word": "b"}),
                "argument `files`: invalid type: integer `7`, expected a sequence",
            ),
            (
                json!({"files": [], "word": "b", "limit": 300}),
                "argument `limit`: invalid value: integer `300`, expected u8",
            ),
            (
                json!({"file": [], "word": "b"}),
                "unknown argument `file`: the task takes the arguments `files`, `word`, `limit`",
            ),
            (
                json!([1]),
                "the input has 1 values: the task takes the arguments `files`, `word`, `limit`",
            ),
            (
                json!("x"),
                "the input is neither an object nor an array: the task takes the arguments `files`, `word`, `limit`",
            ),
        ] {
            assert_eq!(three(input), Err(message.to_string()));
        }
    }

    #[test]
    fn the_only_argument_needs_no_name() {
        let one = |input| values(&["n"], input).map(|values| values[0].clone());
        assert_eq!(one(json!(7)), Ok(Some(json!(7))));
        assert_eq!(one(json!({"n": 7})), Ok(Some(json!(7))));
        assert_eq!(one(json!([1, 2])), Ok(Some(json!([1, 2]))));
        assert_eq!(one(json!({"x": 7})), Ok(Some(json!({"x": 7}))));
    }
}
