//! CSV as RFC 4180 has it: records of values, each of which knows whether it was quoted.
//!
//! A quote that does not begin a value is a letter. Line ends are LF, CR LF or CR; within quotes they belong to the value.

use super::bytes::LARGEST_RECORD;
use datafusion::common::{Result, exec_err};
use std::ops::ControlFlow;

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What may stand between values, the most usual first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A record.
#[derive(Debug, Default)]
pub(super) struct Record {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    quoted: Vec<bool>,
    /// The offset of its first byte, from where reading began.
    pub(super) start: u64,
    /// The number of its first line, from where reading began.
    pub(super) line: u64,
}

impl Record {
    /// How many values it has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it is an empty line.
    pub(super) fn is_blank(&self) -> bool {
        self.ends == [0] && !self.quoted[0]
    }

    /// The bytes of a value.
    pub(super) fn value(&self, position: usize) -> &[u8] {
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[position]]
    }

    /// Whether the value was written in quotes.
    pub(super) fn is_quoted(&self, position: usize) -> bool {
        self.quoted[position]
    }

    fn end_value(&mut self, is_quoted: bool) {
        self.ends.push(self.bytes.len());
        self.quoted.push(is_quoted);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.quoted.clear();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RecordStart,
    ValueStart,
    Unquoted,
    Quoted,
    /// After a quote in a quoted value: its end, or the first of a pair.
    Quote,
}

/// Takes bytes and gives records.
#[derive(Debug)]
pub(super) struct Splitter {
    delimiter: u8,
    state: State,
    record: Record,
    offset: u64,
    line: u64,
    after_return: bool,
    /// Whether a value held a line break: such a file cannot be cut at line breaks.
    pub(super) has_quoted_breaks: bool,
    /// Whether a CR alone ended a line.
    pub(super) has_lone_returns: bool,
}

/// Whoever takes records says whether to go on.
pub(super) type Take<'a> = &'a mut dyn FnMut(&Record) -> Result<ControlFlow<()>>;

impl Splitter {
    /// Begins at this offset of a file, which is the start of a record.
    pub(super) fn new(delimiter: u8, offset: u64) -> Splitter {
        Splitter {
            delimiter,
            state: State::RecordStart,
            record: Record::default(),
            offset,
            line: 1,
            after_return: false,
            has_quoted_breaks: false,
            has_lone_returns: false,
        }
    }

    /// What stands between values.
    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Bytes before the first record are passed over.
    pub(super) fn pass_over(&mut self, bytes: usize) {
        self.offset += bytes as u64;
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
            if self.record.bytes.len() + self.record.ends.len() > LARGEST_RECORD {
                return exec_err!(
                    "line {}: a record has more than {} MB; is a quote opened in it and never closed?",
                    self.record.line,
                    LARGEST_RECORD >> 20
                );
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn feed_byte(&mut self, byte: u8, take: Take<'_>) -> Result<ControlFlow<()>> {
        if std::mem::take(&mut self.after_return) {
            if byte == b'\n' {
                return Ok(ControlFlow::Continue(()));
            }
            self.has_lone_returns = true;
        }
        let is_break = matches!(byte, b'\n' | b'\r');
        if self.state == State::RecordStart {
            self.record.clear();
            self.record.start = self.offset;
            self.record.line = self.line;
            self.state = State::ValueStart;
        }
        if is_break && (byte == b'\n' || self.state != State::Quoted) {
            self.line += 1;
        }
        match self.state {
            State::Quoted if byte == b'"' => self.state = State::Quote,
            State::Quoted => {
                self.has_quoted_breaks |= is_break;
                self.record.bytes.push(byte);
            }
            State::Quote if byte == b'"' => {
                self.record.bytes.push(b'"');
                self.state = State::Quoted;
            }
            State::ValueStart if byte == b'"' => self.state = State::Quoted,
            _ if is_break => {
                self.record.end_value(self.state == State::Quote);
                self.state = State::RecordStart;
                self.after_return = byte == b'\r';
                return take(&self.record);
            }
            _ if byte == self.delimiter => {
                self.record.end_value(self.state == State::Quote);
                self.state = State::ValueStart;
            }
            State::Quote => {
                return exec_err!(
                    "line {}: there is more text after the closing quote of a value (a quote within quotes is written twice)",
                    self.line
                );
            }
            State::RecordStart | State::ValueStart | State::Unquoted => {
                self.record.bytes.push(byte);
                self.state = State::Unquoted;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The last record, if no line break ended it.
    pub(super) fn finish(&mut self, take: Take<'_>) -> Result<ControlFlow<()>> {
        match self.state {
            State::RecordStart => Ok(ControlFlow::Continue(())),
            State::Quoted => exec_err!(
                "line {}: a quote is opened in this record and never closed",
                self.record.line
            ),
            state => {
                self.record.end_value(state == State::Quote);
                self.state = State::RecordStart;
                take(&self.record)
            }
        }
    }
}

/// What stands between the values of a file that begins so: what divides its first lines into most values, all of them into
/// as many as the header.
pub(super) fn delimiter_of(beginning: &[u8]) -> u8 {
    const LOOKED_AT: usize = 50;
    let columns = |delimiter| {
        let mut counts = Vec::new();
        let mut take = |record: &Record| {
            if !record.is_blank() {
                counts.push(record.len());
            }
            Ok(match counts.len() < LOOKED_AT {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        };
        let mut splitter = Splitter::new(delimiter, 0);
        // What is wrong is said when the file is read.
        let is_whole = !matches!(splitter.feed(beginning, &mut take), Ok(ControlFlow::Break(())));
        if is_whole && beginning.len() < (1 << 16) {
            let _ = splitter.finish(&mut take);
        }
        let header = counts.first().copied().unwrap_or(0);
        match counts.iter().all(|count| *count == header) {
            true => header,
            false => 0,
        }
    };
    let mut best = (b',', columns(b',').max(1));
    for delimiter in DELIMITERS {
        let found = columns(delimiter);
        if found > best.1 {
            best = (delimiter, found);
        }
    }
    best.0
}

/// The names in a header: unnamed columns are `column0`, .. by position, repeated names get a number, as in `id`, `id_1`.
pub(super) fn names_of(header: &Record) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for position in 0..header.len() {
        let Ok(name) = std::str::from_utf8(header.value(position)) else {
            return exec_err!("the header is not UTF-8 text; convert the file, for example with iconv");
        };
        let base = match name {
            "" => format!("column{position}"),
            name => name.to_owned(),
        };
        let mut name = base.clone();
        let mut number = 0;
        while names.contains(&name) {
            number += 1;
            name = format!("{base}_{number}");
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &[u8], pieces: usize) -> Result<Vec<Vec<String>>> {
        let mut found = Vec::new();
        let mut take = |record: &Record| {
            let values = (0..record.len()).map(|position| {
                let text = String::from_utf8_lossy(record.value(position)).into_owned();
                match record.is_quoted(position) {
                    true => format!("<{text}>"),
                    false => text,
                }
            });
            found.push(values.collect());
            Ok(ControlFlow::Continue(()))
        };
        let mut splitter = Splitter::new(b',', 0);
        for piece in text.chunks(pieces) {
            let _ = splitter.feed(piece, &mut take)?;
        }
        let _ = splitter.finish(&mut take)?;
        Ok(found)
    }

    #[test]
    fn records_are_the_same_however_the_bytes_are_cut() {
        let text = b"\xef\xbb\xbfid,note\r\n1,\"a, \"\"b\"\"\r\nc\"\n2,5\" pipe\r3,\"\"\n\n4,";
        let expected: Vec<Vec<&str>> = vec![
            vec!["id", "note"],
            vec!["1", "<a, \"b\"\r\nc>"],
            vec!["2", "5\" pipe"],
            vec!["3", "<>"],
            vec![""],
            vec!["4", ""],
        ];
        for pieces in [3, 4, 5, 7, 100] {
            assert_eq!(records(text, pieces).unwrap(), expected, "pieces of {pieces}");
        }
    }

    #[test]
    fn quotes_that_are_not_closed_or_not_the_end_are_refused_with_their_line() {
        for (text, words) in [
            ("a\n\"x\ny", "line 2: a quote is opened"),
            ("a\nb\n\"x\"y\n", "line 3: there is more text"),
        ] {
            let error = records(text.as_bytes(), 100).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let open = format!("a\nb\n\"{}", "x\n".repeat(LARGEST_RECORD / 2 + 1));
        let error = records(open.as_bytes(), 1 << 20).unwrap_err().to_string();
        assert!(error.contains("line 3: a record has more than"), "{error}");
        let error = records(b"\xff\xfea\0", 100).unwrap_err().to_string();
        assert!(error.contains("UTF-16"), "{error}");
    }

    #[test]
    fn the_delimiter_is_what_divides_all_lines_alike() {
        for (text, delimiter) in [
            ("id;city;amount\n0;Ulm;0,50\n1;Bonn;1,50\n", b';'),
            ("id,city\n0,\"a;b\"\n1,c;d\n", b','),
            ("id\tcity\n0\ta,b\n", b'\t'),
            ("v\n1\n", b','),
            ("a,b\n1,2\n3\n", b','),
            ("", b','),
        ] {
            assert_eq!(delimiter_of(text.as_bytes()), delimiter, "{text:?}");
        }
    }
}
