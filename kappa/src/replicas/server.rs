//! One server: its connections, and whether it answers.
//!
//! Guarantees that whoever waits for a server's answer gets it, or an error soon after the server has fallen silent: a connection whose server says
//! nothing for [`SILENCE`] is cut, and everything that waits on it fails. No timer is needed where an answer is awaited, so that may be anywhere.
//!
//! There are three connections, so that a large value keeps neither a small one waiting nor the question whether the server is there.
//!
//! A server that evicts keys is not used at all: what is stored would vanish without a word.

use super::address::Address;
use super::clock::{self, Late, timeout};
use super::introduction::{Introduced, Told, introduce, read_view};
use super::line::{self, Line};
use super::sabotage::{self, Sabotage};
use super::scripts::{self, Prepared, Said};
use super::view::{Member, Seen, View};
use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// How long a server may say nothing before its connections are cut.
pub(super) const SILENCE: Duration = Duration::from_secs(3);

/// How long it may say nothing and still be vouched for. Shorter than [`SILENCE`], so that nobody vouches for a server that others have given up.
const GAP: Duration = Duration::from_secs(2);

/// How long a connection, and the first answer on it, may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Which of the connections.
#[derive(Clone, Copy)]
pub(super) enum Lane {
    /// Views, and the question whether it answers.
    Control,
    /// Small values and deletions.
    Small,
    /// Everything that may be large.
    Large,
}

/// Connections to one process of a server.
pub(super) struct Connected {
    pub(super) name: String,
    pub(super) member: Member,
    /// Most bytes of a text that it takes, if it says so.
    pub(super) longest: Option<u64>,
    /// What a person should know of it.
    pub(super) warning: Option<String>,
    lanes: [Line; 3],
    drivers: Vec<AbortHandle>,
    is_cut: AtomicBool,
    asked: Mutex<Option<Instant>>,
    is_vouched: AtomicBool,
    answered: Mutex<Instant>,
}

/// Why a server did not do what was asked.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// It is not there, or not as it was.
    Gone(String),
    /// It is there, and will not do it.
    Unwilling(String),
}

/// What a server says when it is asked for its vote.
#[derive(Clone, Debug)]
pub(super) enum Vote {
    /// It promises, or votes; the ballot and the view that it voted for before, if it did.
    Given(Option<(String, View)>),
    /// It has promised not to under a ballot lower than this one.
    Promised(String),
    /// It has heard of another view.
    OtherView,
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        let is_gone = match error.kind() {
            ErrorKind::Io | ErrorKind::Parse => true,
            ErrorKind::AuthenticationFailed => false,
            ErrorKind::Server(kind) => matches!(
                kind,
                ServerErrorKind::NoScript
                    | ServerErrorKind::BusyLoading
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ReadOnly
            ),
            // Somebody's script takes its time.
            ErrorKind::Extension => error.code() == Some("BUSY") || takes_nothing(&error),
            _ => error.is_unrecoverable_error(),
        };
        match is_gone {
            true => Trouble::Gone(error.to_string()),
            false => Trouble::Unwilling(error.to_string()),
        }
    }
}

/// What a server says that takes nothing, within another error.
const TAKES_NOTHING: [&str; 3] = ["-READONLY ", "-MISCONF ", "-NOREPLICAS "];

/// Whether a server answers, and takes nothing that is written: it has become the replica of another one, or cannot save.
pub(super) fn takes_nothing(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || matches!(error.code(), Some("MISCONF" | "NOREPLICAS"))
        // Older ones say so of a script's error.
        || error.detail().is_some_and(|detail| TAKES_NOTHING.iter().any(|code| detail.contains(code)))
}

impl Trouble {
    /// It is not there, or not as it was.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Trouble::Gone(_))
    }

    pub(super) fn nonsense(value: &Value) -> Self {
        Trouble::Unwilling(format!("an answer that makes no sense: {}", kind_of(value)))
    }
}

/// An answer's kind without its content, which may be anybody's data.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a text",
        Value::Array(_) => "a list",
        _ => "something else",
    }
}

impl Connected {
    /// Connects, and asks who it is and what it was told. A worker takes what the others have found good.
    pub(super) async fn open(address: &Address, is_worker: bool) -> Result<(Self, Told), Trouble> {
        let late = |Late| Trouble::Gone(format!("no answer within {} s", CONNECT_LIMIT.as_secs()));
        let mut drivers = Vec::new();
        let opened = timeout(CONNECT_LIMIT, Self::connect_all(address, &mut drivers)).await;
        let introduced = match opened.map_err(late) {
            Ok(Ok(lanes)) => match timeout(CONNECT_LIMIT, introduce(&lanes[0], is_worker))
                .await
                .map_err(late)
            {
                Ok(Ok(introduced)) => Ok((lanes, introduced)),
                Ok(Err(trouble)) | Err(trouble) => Err(trouble),
            },
            Ok(Err(trouble)) | Err(trouble) => Err(trouble),
        };
        match introduced {
            Ok((lanes, introduced)) => {
                let Introduced {
                    member,
                    told,
                    longest,
                    warning,
                } = introduced;
                let connected = Connected {
                    name: address.name().to_string(),
                    member,
                    longest,
                    warning,
                    lanes,
                    drivers,
                    is_cut: AtomicBool::new(false),
                    asked: Mutex::new(None),
                    is_vouched: AtomicBool::new(false),
                    answered: Mutex::new(clock::now()),
                };
                Ok((connected, told))
            }
            Err(trouble) => {
                drivers.iter().for_each(AbortHandle::abort);
                Err(trouble)
            }
        }
    }

    async fn connect_all(address: &Address, drivers: &mut Vec<AbortHandle>) -> Result<[Line; 3], Trouble> {
        Ok([
            line::connect(address, drivers).await?,
            line::connect(address, drivers).await?,
            line::connect(address, drivers).await?,
        ])
    }

    pub(super) async fn ask(&self, lane: Lane, cmd: &Cmd) -> Result<Value, Trouble> {
        let answer = self.lanes[lane as usize].ask(cmd).await;
        answer
            .and_then(Value::extract_error)
            .map_err(|error| self.trouble(error))
    }

    pub(super) async fn ask_all(&self, lane: Lane, pipeline: &redis::Pipeline) -> Result<Vec<Value>, Trouble> {
        let answers = self.lanes[lane as usize].ask_all(pipeline).await;
        let answers = answers.and_then(|answers| answers.into_iter().map(Value::extract_error).collect());
        answers.map_err(|error| self.trouble(error))
    }

    fn trouble(&self, error: RedisError) -> Trouble {
        // It has forgotten the scripts; with a new connection it is told of them again. Or it takes nothing any more, which a new connection will show.
        if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) || takes_nothing(&error) {
            self.cut();
        }
        error.into()
    }

    pub(super) async fn put(&self, prepared: &Prepared) -> Result<Said, Trouble> {
        let answer = match prepared {
            Prepared::One(cmd) => self.ask(Lane::Small, cmd).await?,
            Prepared::Staged(pipeline) => match self.ask_all(Lane::Large, pipeline).await?.pop() {
                Some(answer) => answer,
                None => return Err(Trouble::nonsense(&Value::Nil)),
            },
        };
        Said::read(&answer).ok_or_else(|| Trouble::nonsense(&answer))
    }

    /// Whether it takes a value of this length; if not, why.
    pub(super) fn takes(&self, length: usize) -> Result<(), String> {
        let length = length as u64 + scripts::ID_BYTES as u64;
        match self.longest.filter(|longest| *longest < length) {
            Some(longest) => Err(format!(
                "{length} bytes are more than {} takes at once, which is {longest} (its setting proto-max-bulk-len)",
                self.name
            )),
            None => Ok(()),
        }
    }

    /// Reads a text that may not be there.
    pub(super) async fn get(&self, lane: Lane, key: &str) -> Result<Option<Vec<u8>>, Trouble> {
        match self.ask(lane, redis::cmd("GET").arg(key)).await? {
            Value::BulkString(bytes) => Ok(Some(bytes)),
            Value::Nil => Ok(None),
            other => Err(Trouble::nonsense(&other)),
        }
    }

    /// What it was told, within the time that a first answer may take. If it is not the server any more to which it was connected, it is cut off.
    pub(super) async fn told(&self) -> Result<Told, Trouble> {
        let mut mget = redis::cmd("MGET");
        mget.arg(scripts::SERVER).arg(scripts::TOKEN).arg(scripts::VIEW);
        let answer = match timeout(CONNECT_LIMIT, self.ask(Lane::Control, &mget)).await {
            Ok(answer) => answer?,
            Err(Late) => return Err(Trouble::Gone("it does not answer".to_string())),
        };
        self.has_answered();
        let (server, told) = Told::read(answer)?;
        if server != self.member.server && !sabotage::is(Sabotage::TrustsEmptied) {
            self.cut();
            return Err(Trouble::Gone("it has been emptied".to_string()));
        }
        Ok(told)
    }

    /// Makes this view the server's, if it has the expected one. Returns the one that it has instead.
    pub(super) async fn set_view(&self, expected: &str, view: &View) -> Result<Result<(), ()>, Trouble> {
        let text = to_text(view)?;
        let server = match sabotage::is(Sabotage::TrustsEmptied) {
            true => "whichever",
            false => &self.member.server,
        };
        let cmd = scripts::set_view(server, expected, &view.token, &text);
        match self.in_time(&cmd).await? {
            Value::Int(0) => Ok(Ok(())),
            Value::Int(_) => Err(self.is_another()),
            Value::BulkString(_) => Ok(Err(())),
            other => Err(Trouble::nonsense(&other)),
        }
    }

    /// Asks for its vote on what comes after the view with this token, under this ballot: for its promise, or for a view.
    pub(super) async fn vote(&self, after: &str, ballot: &str, view: Option<&View>) -> Result<Vote, Trouble> {
        let text = view.map_or(Ok(String::new()), to_text)?;
        let cmd = scripts::vote_on(&self.member.server, after, ballot, &text);
        let answer = self.in_time(&cmd).await?;
        let Value::Array(parts) = &answer else {
            return Err(Trouble::nonsense(&answer));
        };
        match parts.as_slice() {
            [Value::Int(0), Value::BulkString(ballot), Value::BulkString(view)] => {
                let ballot = String::from_utf8_lossy(ballot).into_owned();
                Ok(Vote::Given(read_view(view)?.map(|view| (ballot, view))))
            }
            [Value::Int(1)] => Ok(Vote::OtherView),
            [Value::Int(2), Value::BulkString(ballot)] => {
                Ok(Vote::Promised(String::from_utf8_lossy(ballot).into_owned()))
            }
            [Value::Int(_)] => Err(self.is_another()),
            _ => Err(Trouble::nonsense(&answer)),
        }
    }

    /// Takes its name and what it was told from a server that has lost a part of that, so that it counts as one that was emptied; unless that is not any more
    /// as it was seen: then somebody else has seen to it.
    pub(super) async fn forget(&self, told: &Told) -> Result<(), Trouble> {
        let answer = self.in_time(&scripts::forget(&told.kept)).await?;
        self.cut();
        match answer {
            Value::Int(0) => Ok(()),
            Value::Int(_) => Err(Trouble::Gone("it is not as it was".to_string())),
            other => Err(Trouble::nonsense(&other)),
        }
    }

    async fn in_time(&self, cmd: &Cmd) -> Result<Value, Trouble> {
        match timeout(SILENCE, self.ask(Lane::Control, cmd)).await {
            Ok(answer) => answer,
            Err(Late) => Err(Trouble::Gone("it does not answer".to_string())),
        }
    }

    fn is_another(&self) -> Trouble {
        self.cut();
        Trouble::Gone("it has been emptied".to_string())
    }

    /// Asks whether it is there, unless it has not answered yet to the same question; says whether it is as it was told by this token.
    pub(super) async fn pulse(&self, token: &str) -> Option<bool> {
        {
            let mut asked = self.asked.lock();
            match *asked {
                Some(at) if clock::since(at) > SILENCE => {
                    self.cut();
                    return None;
                }
                Some(_) => return None,
                None => *asked = Some(clock::now()),
            }
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("MGET").arg(scripts::SERVER).arg(scripts::TOKEN);
        pipeline.cmd("EXISTS").arg(scripts::VIEW);
        let answers = self.ask_all(Lane::Control, &pipeline).await;
        *self.asked.lock() = None;
        match answers {
            Ok(answers) => {
                self.has_answered();
                let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
                let expected = [
                    Value::Array(vec![text(&self.member.server), text(token)]),
                    Value::Int(1),
                ];
                Some(answers == expected || sabotage::is(Sabotage::TrustsEmptied))
            }
            Err(_) => {
                self.cut();
                None
            }
        }
    }

    /// Notes an answer.
    fn has_answered(&self) {
        let mut answered = self.answered.lock();
        if clock::since(*answered) > GAP {
            self.is_vouched.store(false, Ordering::Relaxed);
        }
        *answered = clock::now();
    }

    /// Everyone has just agreed on the view.
    pub(super) fn vouch(&self) {
        self.is_vouched.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_vouched(&self) -> bool {
        !self.is_cut() && self.is_vouched.load(Ordering::Relaxed) && clock::since(*self.answered.lock()) <= GAP
    }

    /// Everything that waits for an answer fails, and the connections are not used any more.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.drivers.iter().for_each(AbortHandle::abort);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed) || self.drivers.iter().any(AbortHandle::is_finished)
    }

    pub(super) fn seen(&self, told: &Told) -> Seen {
        Seen {
            name: self.name.clone(),
            member: self.member.clone(),
            view: told.view.clone(),
            token: told.token.clone(),
            damage: told.damage.clone(),
            is_vouched: self.is_vouched(),
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.drivers.iter().for_each(AbortHandle::abort);
    }
}

fn to_text(view: &View) -> Result<String, Trouble> {
    serde_json::to_string(view).map_err(|cause| Trouble::Unwilling(cause.to_string()))
}
