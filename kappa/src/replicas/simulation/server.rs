//! A server that answers as Redis does to what it is sent by [`super::super`], with the scripts written again in Rust. That both do the same is a test
//! (`twins`).

use super::super::clock::now;
use super::super::scripts::{self, Code, code_of};
use redis::{Arg, Cmd, RedisError, Value, make_extension_error};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// A server's process, and what it has.
pub(super) struct Server {
    pub(super) name: String,
    number: u32,
    is_up: bool,
    /// It answers nothing as long as anything pauses it.
    pub(super) pauses: u32,
    /// It lets nobody in, and answers those that are, as long as anything keeps it so.
    pub(super) refusals: u32,
    /// What it says to whoever writes.
    pub(super) takes_nothing: Option<&'static str>,
    texts: BTreeMap<String, Text>,
    vote: Option<[String; 4]>,
    /// What it has on its disk if it does not wait for that.
    saved: (BTreeMap<String, Text>, Option<[String; 4]>),
}

#[derive(Clone)]
struct Text {
    bytes: Vec<u8>,
    expires: Option<Instant>,
}

fn bulk(bytes: impl Into<Vec<u8>>) -> Value {
    Value::BulkString(bytes.into())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Server {
    pub(super) fn new(name: String) -> Self {
        Server {
            name,
            number: 0,
            is_up: true,
            pauses: 0,
            refusals: 0,
            takes_nothing: None,
            texts: BTreeMap::new(),
            vote: None,
            saved: Default::default(),
        }
    }

    /// The process that is running, if one is.
    pub(super) fn process(&self) -> Option<String> {
        self.is_up.then(|| format!("{}-{}", self.name, self.number))
    }

    pub(super) fn kill(&mut self) {
        self.is_up = false;
    }

    /// Writes what it has to its disk, as it does from time to time.
    pub(super) fn save(&mut self) {
        self.saved = (self.texts.clone(), self.vote.clone());
    }

    /// Loses what it has not written to its disk: it was killed.
    pub(super) fn forget_unsaved(&mut self) {
        (self.texts, self.vote) = self.saved.clone();
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    /// With all that it had on its disk.
    pub(super) fn start(&mut self) {
        self.number += 1;
        self.is_up = true;
    }

    /// FLUSHALL.
    pub(super) fn empty(&mut self) {
        self.texts.clear();
        self.vote = None;
    }

    /// DEL of a key by somebody who has no business there.
    pub(super) fn lose(&mut self, key: &str) {
        self.texts.remove(key);
    }

    fn get(&self, key: &str) -> Option<&[u8]> {
        let text = self.texts.get(key)?;
        let is_there = text.expires.is_none_or(|expires| expires > now());
        is_there.then_some(text.bytes.as_slice())
    }

    fn id(&self, key: &str) -> Vec<u8> {
        let bytes = self.get(key).unwrap_or_default();
        bytes[..bytes.len().min(16)].to_vec()
    }

    fn set(&mut self, key: &str, bytes: &[u8], expires: Option<Instant>) {
        let bytes = bytes.to_vec();
        self.texts.insert(key.to_string(), Text { bytes, expires });
    }

    fn value(&self, key: &str) -> Value {
        self.get(key).map_or(Value::Nil, bulk)
    }

    /// What it says to a command.
    pub(super) fn answer(&mut self, cmd: &Cmd) -> Result<Value, RedisError> {
        let words: Vec<Vec<u8>> = cmd
            .args_iter()
            .map(|arg| match arg {
                Arg::Simple(word) => word.to_vec(),
                _ => b"0".to_vec(),
            })
            .collect();
        let names: Vec<String> = words.iter().map(|word| text(word)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Some(code) = self.takes_nothing.filter(|_| writes(&names)) {
            return Err(make_extension_error(code.to_string(), None));
        }
        Ok(match names.as_slice() {
            ["SCRIPT", ..] => Value::Okay,
            ["INFO", "server"] => bulk(format!("run_id:{}\r\n", self.process().unwrap_or_default())),
            ["INFO", "memory"] => bulk("maxmemory_policy:noeviction\r\n"),
            ["CONFIG", "GET", setting] => Value::Array(vec![bulk(*setting), bulk("536870912")]),
            ["GET", key] => self.value(key),
            ["MGET", keys @ ..] => Value::Array(keys.iter().map(|key| self.value(key)).collect()),
            ["EXISTS", key] => Value::Int(i64::from(self.get(key).is_some())),
            ["STRLEN", key] => Value::Int(self.get(key).unwrap_or_default().len() as i64),
            ["GETRANGE", key, "0", "15"] => bulk(self.id(key)),
            ["PTTL", _] => Value::Int(1),
            ["DEL" | "UNLINK", keys @ ..] => {
                for key in keys {
                    self.delete(key);
                }
                Value::Int(0)
            }
            ["SET", key, _, "NX", "PX", _] if self.get(key).is_some() => Value::Nil,
            ["SET", key, _, .., "PX", milliseconds] => {
                let lives = Duration::from_millis(milliseconds.parse().unwrap_or(0));
                self.set(key, &words[2], Some(now() + lives));
                Value::Okay
            }
            ["SCAN", _, "MATCH", pattern, ..] => {
                let keys = self
                    .texts
                    .keys()
                    .filter(|key| matches(pattern, key) && self.get(key).is_some());
                Value::Array(vec![
                    bulk("0"),
                    Value::Array(keys.map(|key| bulk(key.as_str())).collect()),
                ])
            }
            ["EVALSHA", hash, count, ..] => {
                let count: usize = count.parse().unwrap_or(0);
                let (keys, arguments) = (&names[3..3 + count], &words[3 + count..]);
                match code_of(hash.as_bytes()) {
                    Some(code) => self.run(code, keys, arguments),
                    None => return Err(unknown(&names)),
                }
            }
            _ => return Err(unknown(&names)),
        })
    }

    fn delete(&mut self, key: &str) {
        self.texts.remove(key);
        if key == scripts::VOTE {
            self.vote = None;
        }
    }

    fn run(&mut self, code: Code, keys: &[&str], arguments: &[Vec<u8>]) -> Value {
        match code {
            Code::Hello => {
                if self.get(keys[1]).is_none() && self.get(keys[2]).is_none() && self.get(keys[0]).is_none() {
                    self.set(keys[0], &arguments[0], None);
                }
                let said = keys.iter().map(|key| bulk(self.get(key).unwrap_or_default()));
                Value::Array(said.collect())
            }
            Code::SetView => self.set_view(keys, arguments),
            Code::Put => self.put(keys, arguments),
            Code::Delete => {
                if self.get(keys[0]) != Some(&arguments[0]) {
                    return Value::Int(1);
                }
                if !keys[1].is_empty() && self.id(keys[1]) != arguments[1] {
                    return Value::Int(2);
                }
                keys[2..].iter().for_each(|key| self.delete(key));
                Value::Int(0)
            }
            Code::Drop => {
                if self.get(keys[0]) != Some(&arguments[0]) {
                    return Value::Int(1);
                }
                for (key, id) in keys.iter().zip(arguments).skip(1) {
                    if self.id(key) == *id {
                        self.delete(key);
                    }
                }
                Value::Int(0)
            }
            Code::Hold => {
                if self.get(keys[0]) != Some(&arguments[0]) {
                    return Value::Int(0);
                }
                match text(&arguments[1]).parse().unwrap_or(0) {
                    0 => self.delete(keys[0]),
                    lives => self.set(keys[0], &arguments[0], Some(now() + Duration::from_millis(lives))),
                }
                Value::Int(1)
            }
            Code::VoteOn => self.vote_on(keys, arguments),
            Code::Forget => {
                let mut kept = keys.iter().zip(arguments);
                if kept.any(|(key, kept)| self.get(key).unwrap_or_default() != kept) {
                    return Value::Int(1);
                }
                keys.iter().for_each(|key| self.delete(key));
                Value::Int(0)
            }
        }
    }

    fn set_view(&mut self, keys: &[&str], arguments: &[Vec<u8>]) -> Value {
        // The sabotage that tells whichever server is there.
        if self.get(keys[2]) != Some(&arguments[3]) && arguments[3] != b"whichever" {
            return Value::Int(4);
        }
        let token = self.get(keys[0]).unwrap_or_default();
        if token == arguments[1] {
            return Value::Int(0);
        }
        if token != arguments[0] {
            return bulk(self.get(keys[1]).unwrap_or_default());
        }
        self.set(keys[0], &arguments[1], None);
        self.set(keys[1], &arguments[2], None);
        self.delete(keys[3]);
        Value::Int(0)
    }

    fn put(&mut self, keys: &[&str], arguments: &[Vec<u8>]) -> Value {
        let [token, key, staged, guard, previous] = keys else {
            return Value::Nil;
        };
        let result = if self.get(token) != Some(&arguments[0]) {
            Value::Int(1)
        } else if !guard.is_empty() && (self.get(guard).is_none() || self.id(guard) != arguments[3]) {
            Value::Int(2)
        } else if !previous.is_empty() && self.get(previous).is_none() && self.id(key) != arguments[2] {
            Value::Int(3)
        } else {
            match self.id(key) {
                holder if holder == arguments[2] => Value::Int(0),
                holder if holder != arguments[1] => bulk(holder),
                _ if staged.is_empty() => {
                    self.set(key, &arguments[4], None);
                    Value::Int(0)
                }
                _ => {
                    let value = self.get(staged).unwrap_or_default().to_vec();
                    self.set(key, &value, None);
                    Value::Int(0)
                }
            }
        };
        if !staged.is_empty() {
            self.delete(staged);
        }
        result
    }

    fn vote_on(&mut self, keys: &[&str], arguments: &[Vec<u8>]) -> Value {
        if self.get(keys[0]) != Some(&arguments[0]) {
            return Value::Array(vec![Value::Int(4)]);
        }
        if self.get(keys[1]).unwrap_or_default() != arguments[1] {
            return Value::Array(vec![Value::Int(1)]);
        }
        let [after, ballot, view] = [1, 2, 3].map(|index: usize| text(&arguments[index]));
        let before = self.vote.take().filter(|vote| vote[0] == after);
        let [_, promised, voted, chosen] =
            before.unwrap_or([after.clone(), String::new(), String::new(), String::new()]);
        if promised > ballot {
            self.vote = Some([after, promised.clone(), voted, chosen]);
            return Value::Array(vec![Value::Int(2), bulk(promised)]);
        }
        let (voted, chosen) = match view.is_empty() {
            true => (voted, chosen),
            false => (ballot.clone(), view),
        };
        self.vote = Some([after, ballot, voted.clone(), chosen.clone()]);
        Value::Array(vec![Value::Int(0), bulk(voted), bulk(chosen)])
    }
}

/// Whether a command writes a value, or could.
fn writes(names: &[&str]) -> bool {
    match names {
        ["SET" | "DEL" | "UNLINK", ..] => true,
        ["EVALSHA", hash, ..] => code_of(hash.as_bytes()) != Some(Code::Hello),
        _ => false,
    }
}

/// Whether a key matches a pattern, of those that are used here: `*` at the end, and one choice of characters.
fn matches(pattern: &str, key: &str) -> bool {
    let Some(beginning) = pattern.strip_suffix('*') else {
        return pattern == key;
    };
    match beginning
        .split_once('[')
        .and_then(|(start, rest)| Some((start, rest.split_once(']')?)))
    {
        None => key.starts_with(beginning),
        Some((start, (choice, end))) => {
            let rest = key
                .strip_prefix(start)
                .and_then(|rest| rest.strip_prefix(|c| choice.contains(c)));
            rest.is_some_and(|rest| rest.starts_with(end))
        }
    }
}

fn unknown(words: &[&str]) -> RedisError {
    io::Error::other(format!("the simulated server does not know {words:?}")).into()
}
