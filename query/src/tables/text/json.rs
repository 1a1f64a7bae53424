//! JSON (RFC 8259): where the values of a file begin and end, and what a value holds.
//!
//! A file is one object after another, usually one per line, or one array of objects.

use super::bytes::LARGEST_RECORD;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use std::borrow::Cow;
use std::ops::ControlFlow;

const MARK: &[u8] = b"\xef\xbb\xbf";

/// Deeper values are refused: each level is a call.
const DEEPEST: usize = 100;

/// Takes bytes and gives the text of one record after another.
#[derive(Debug)]
pub(super) struct Framer {
    record: Vec<u8>,
    first_line: u64,
    /// The offset of the first byte of the line that is being read.
    line_start: u64,
    /// Whether a record has begun on that line.
    has_record_on_line: bool,
    offset: u64,
    line: u64,
    depth: usize,
    in_text: bool,
    after_backslash: bool,
    /// Whether the file is one array; not known before its first byte.
    is_array: Option<bool>,
    has_ended: bool,
    /// Whether records are not one per line: a record has several lines, or a line several records. Such a file is not cut at
    /// line breaks.
    pub(super) has_other_lines: bool,
}

/// A record's text.
#[derive(Debug)]
pub(super) struct Framed<'a> {
    pub(super) text: &'a [u8],
    /// The offset of the first byte of the line that it is on: that says which unit it belongs to, however many records are on
    /// the line and whatever is before them. (A record of several lines is in a file that is not cut.)
    pub(super) line_start: u64,
    /// The number of its first line, from where reading began.
    pub(super) line: u64,
}

/// Whoever takes records says whether to go on.
pub(super) type Take<'a> = &'a mut dyn FnMut(&Framed<'_>) -> Result<ControlFlow<()>>;

impl Framer {
    /// Begins at this offset of a file, which is the start of a line.
    pub(super) fn new(offset: u64) -> Framer {
        Framer {
            record: vec![],
            first_line: 1,
            line_start: offset,
            has_record_on_line: false,
            offset,
            line: 1,
            depth: 0,
            in_text: false,
            after_backslash: false,
            is_array: (offset > 0).then_some(false),
            has_ended: false,
            has_other_lines: false,
        }
    }

    /// Whether the file is one array.
    pub(super) fn is_array(&self) -> bool {
        self.is_array == Some(true)
    }

    /// Bytes before the first line are passed over.
    pub(super) fn pass_over(&mut self, bytes: usize) {
        self.offset += bytes as u64;
        self.line_start = self.offset;
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, piece: &[u8], take: Take<'_>) -> Result<ControlFlow<()>> {
        let mut rest = piece;
        if self.offset == 0 {
            if piece.starts_with(b"\xff\xfe") || piece.starts_with(b"\xfe\xff") {
                return exec_err!("it is UTF-16; convert it to UTF-8");
            }
            if let Some(text) = piece.strip_prefix(MARK) {
                self.offset = MARK.len() as u64;
                rest = text;
            }
        }
        for byte in rest {
            let flow = self.feed_byte(*byte, take)?;
            self.offset += 1;
            if self.record.len() > LARGEST_RECORD {
                return exec_err!(
                    "line {}: an object begins here that has more than {} MB; is a quote or a bracket never closed?",
                    self.first_line,
                    LARGEST_RECORD >> 20
                );
            }
            if *byte == b'\n' {
                self.line += 1;
                self.line_start = self.offset;
                self.has_record_on_line = false;
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn feed_byte(&mut self, byte: u8, take: Take<'_>) -> Result<ControlFlow<()>> {
        let go_on = Ok(ControlFlow::Continue(()));
        if self.depth == 0 {
            return match byte {
                b' ' | b'\t' | b'\r' | b'\n' => go_on,
                _ if self.has_ended => exec_err!("line {}: there is more after the end of the array", self.line),
                b'[' if self.is_array.is_none() => {
                    self.is_array = Some(true);
                    go_on
                }
                b',' if self.is_array() => go_on,
                b']' if self.is_array() => {
                    self.has_ended = true;
                    go_on
                }
                b'{' => {
                    self.is_array.get_or_insert(false);
                    self.has_other_lines |= self.has_record_on_line;
                    self.has_record_on_line = true;
                    self.first_line = self.line;
                    self.record.clear();
                    self.record.push(byte);
                    self.depth = 1;
                    go_on
                }
                _ => exec_err!("line {}: here should an object begin, in {{ and }}", self.line),
            };
        }
        self.record.push(byte);
        self.has_other_lines |= byte == b'\n';
        if self.in_text {
            match byte {
                _ if self.after_backslash => self.after_backslash = false,
                b'\\' => self.after_backslash = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return go_on;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        if self.depth > 0 {
            return go_on;
        }
        take(&Framed {
            text: &self.record,
            line_start: self.line_start,
            line: self.first_line,
        })
    }

    /// # Errors
    /// If the file ends within a record.
    pub(super) fn finish(&self) -> Result<()> {
        if self.depth > 0 {
            return exec_err!(
                "line {}: an object begins here and has no end; is the file whole?",
                self.first_line
            );
        }
        if self.is_array() && !self.has_ended {
            return exec_err!("its array has no end; is the file whole?");
        }
        Ok(())
    }
}

/// A value, with its own text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node<'a> {
    pub(super) text: &'a str,
    pub(super) value: Value<'a>,
}

/// What a value holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Boolean,
    Number,
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// The value of a whole text.
pub(super) fn parse(text: &[u8]) -> Result<Node<'_>> {
    let Ok(text) = std::str::from_utf8(text) else {
        return exec_err!("it is not UTF-8 text; convert the file, for example with iconv");
    };
    let mut parser = Parser { text, at: 0 };
    let node = parser.node(0)?;
    parser.skip_space();
    match parser.at == text.len() {
        true => Ok(node),
        false => parser.wrong("there is more after the value"),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong<T>(&self, problem: &str) -> Result<T> {
        const SHOWN: usize = 30;
        let rest: String = self
            .text
            .get(self.at..)
            .unwrap_or_default()
            .chars()
            .take(SHOWN)
            .collect();
        exec_err!("{problem}, at {rest:?}")
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn node(&mut self, depth: usize) -> Result<Node<'a>> {
        self.skip_space();
        if depth > DEEPEST {
            return self.wrong("values are nested too deeply");
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b't') => self.word("true", Value::Boolean)?,
            Some(b'f') => self.word("false", Value::Boolean)?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => self.number()?,
        };
        Ok(Node {
            text: &self.text[start..self.at],
            value,
        })
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>> {
        if !self.text[self.at..].starts_with(word) {
            return self.wrong("this is no value");
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Value<'a>> {
        let rest = &self.text.as_bytes()[self.at..];
        let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut length = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(length);
        let has_zeros = whole > 1 && rest[length] == b'0';
        length += whole;
        let mut is_right = whole > 0 && !has_zeros;
        if rest.get(length) == Some(&b'.') {
            let fraction = digits(length + 1);
            is_right &= fraction > 0;
            length += 1 + fraction;
        }
        if matches!(rest.get(length), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
            let exponent = digits(length + 1 + sign);
            is_right &= exponent > 0;
            length += 1 + sign + exponent;
        }
        if !is_right {
            return self.wrong("this is no value");
        }
        self.at += length;
        Ok(Value::Number)
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.node(depth + 1)?);
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            if !self.take(b',') {
                return self.wrong("here should be , or ]");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>> {
        self.at += 1;
        let mut fields: Vec<(Cow<'a, str>, Node<'a>)> = Vec::new();
        if self.take(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.wrong("here should be a name in quotes");
            }
            let name = self.string()?;
            if fields.iter().any(|(other, _)| *other == name) {
                return exec_err!("{name:?} is there twice in one object");
            }
            if !self.take(b':') {
                return self.wrong("here should be :");
            }
            let node = self.node(depth + 1)?;
            fields.push((name, node));
            if self.take(b'}') {
                return Ok(Value::Object(fields));
            }
            if !self.take(b',') {
                return self.wrong("here should be , or }");
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => break,
                Some(byte) if *byte >= 0x20 => self.at += 1,
                _ => return self.wrong("a text has no end, or a control character in it"),
            }
        }
        let mut text = self.text[start..self.at].to_owned();
        loop {
            let from = self.at;
            while matches!(bytes.get(self.at), Some(byte) if *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
                self.at += 1;
            }
            text.push_str(&self.text[from..self.at]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escaped()?),
                _ => return self.wrong("a text has no end, or a control character in it"),
            }
        }
    }

    fn escaped(&mut self) -> Result<char> {
        let letter = self.text.as_bytes().get(self.at + 1).copied();
        self.at += 2;
        Ok(match letter {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                let units = match first {
                    0xd800..=0xdbff if self.text[self.at..].starts_with("\\u") => {
                        self.at += 2;
                        vec![first, self.unit()?]
                    }
                    _ => vec![first],
                };
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(letter)), None) => letter,
                    _ => return exec_err!("\\u{first:04x} is half a character"),
                }
            }
            _ => return exec_err!("a \\ in a text is followed by none of \" \\ / b f n r t u"),
        })
    }

    fn unit(&mut self) -> Result<u16> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        self.at += 4;
        unit.ok_or_else(|| exec_datafusion_err!("\\u is not followed by four hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &str, pieces: usize) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut framer = Framer::new(0);
        for piece in text.as_bytes().chunks(pieces) {
            let _ = framer.feed(piece, &mut |record| {
                found.push(String::from_utf8_lossy(record.text).into_owned());
                Ok(ControlFlow::Continue(()))
            })?;
        }
        framer.finish()?;
        Ok(found)
    }

    #[test]
    fn records_are_lines_or_elements_of_an_array_or_objects_of_several_lines() {
        let records = ["{\"a\": \"}\\\"{\"}", "{\"b\": [{}]}", "{}"];
        for text in [
            records.join("\n"),
            format!("[{}]", records.join(",\n")),
            records.join(" "),
        ] {
            for pieces in [1, 2, 3, 1000] {
                assert_eq!(framed(&text, pieces).unwrap(), records, "{text}");
            }
        }
        assert!(framed("{\"a\": 1", 9).unwrap_err().to_string().contains("line 1"));
        assert!(framed("[{\"a\": 1}", 9).unwrap_err().to_string().contains("no end"));
        assert!(framed("{}\n5\n", 9).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn values_are_read_as_the_standard_says_and_nothing_else_is() {
        let Value::Object(fields) = parse(br#"{"a": "x\n\u00e9\ud83d\ude00", "b": [1, -2.5e+3, true, null]}"#)
            .unwrap()
            .value
        else {
            panic!("it is an object")
        };
        assert_eq!(fields[0].1.value, Value::Text("x\n\u{e9}\u{1f600}".into()));
        let Value::List(items) = &fields[1].1.value else {
            panic!("it is a list")
        };
        let texts: Vec<&str> = items.iter().map(|item| item.text).collect();
        assert_eq!(texts, ["1", "-2.5e+3", "true", "null"]);
        for wrong in [
            "{\"a\": 01}",
            "{\"a\": .5}",
            "{\"a\": 1.}",
            "{\"a\": 1e}",
            "{\"a\": nul}",
            "{\"a\" 1}",
            "{a: 1}",
            "{\"a\": 1,}",
            "{\"a\": \"\\x\"}",
            "{\"a\": \"\\ud800\"}",
            "{\"a\": \"\u{1}\"}",
            "{\"a\": 1, \"a\": 2}",
            "{\"a\": NaN}",
            "{} {}",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
