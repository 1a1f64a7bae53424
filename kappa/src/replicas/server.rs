//! One server: its connections, and whether it answers.
//!
//! Guarantees that whoever waits for a server's answer gets it, or an error soon after the server has fallen silent: a connection whose server says
//! nothing for [`SILENCE`] is cut, and everything that waits on it fails. No timer is needed where an answer is awaited, so that may be anywhere.
//!
//! There are three connections, so that a large value keeps neither a small one waiting nor the question whether the server is there.

use super::address::Address;
use super::scripts::{self, Prepared, Said};
use super::view::{Member, Seen, View, new_token};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

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
    lanes: [MultiplexedConnection; 3],
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

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        let is_gone = match error.kind() {
            ErrorKind::Io | ErrorKind::Parse => true,
            ErrorKind::AuthenticationFailed => false,
            ErrorKind::Server(kind) => matches!(kind, ServerErrorKind::NoScript | ServerErrorKind::BusyLoading),
            _ => error.is_unrecoverable_error(),
        };
        match is_gone {
            true => Trouble::Gone(error.to_string()),
            false => Trouble::Unwilling(error.to_string()),
        }
    }
}

impl Trouble {
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
    /// Connects, and asks who it is.
    pub(super) async fn open(address: &Address) -> Result<(Self, Option<View>), Trouble> {
        let late = |_| Trouble::Gone(format!("no answer within {} s", CONNECT_LIMIT.as_secs()));
        let mut drivers = Vec::new();
        let opened = timeout(CONNECT_LIMIT, Self::connect_all(address, &mut drivers)).await;
        let introduced = match opened.map_err(late) {
            Ok(Ok(lanes)) => match timeout(CONNECT_LIMIT, introduce(&lanes[0])).await.map_err(late) {
                Ok(Ok(introduced)) => Ok((lanes, introduced)),
                Ok(Err(trouble)) | Err(trouble) => Err(trouble),
            },
            Ok(Err(trouble)) | Err(trouble) => Err(trouble),
        };
        match introduced {
            Ok((lanes, (member, view))) => {
                let connected = Connected {
                    name: address.name().to_string(),
                    member,
                    lanes,
                    drivers,
                    is_cut: AtomicBool::new(false),
                    asked: Mutex::new(None),
                    is_vouched: AtomicBool::new(false),
                    answered: Mutex::new(Instant::now()),
                };
                Ok((connected, view))
            }
            Err(trouble) => {
                drivers.iter().for_each(AbortHandle::abort);
                Err(trouble)
            }
        }
    }

    async fn connect_all(
        address: &Address,
        drivers: &mut Vec<AbortHandle>,
    ) -> Result<[MultiplexedConnection; 3], Trouble> {
        Ok([
            connect(address, drivers).await?,
            connect(address, drivers).await?,
            connect(address, drivers).await?,
        ])
    }

    fn lane(&self, lane: Lane) -> MultiplexedConnection {
        self.lanes[lane as usize].clone()
    }

    pub(super) async fn ask(&self, lane: Lane, cmd: &Cmd) -> Result<Value, Trouble> {
        let answer = self.lane(lane).send_packed_command(cmd).await;
        Ok(answer.and_then(Value::extract_error)?)
    }

    pub(super) async fn ask_all(&self, lane: Lane, pipeline: &redis::Pipeline) -> Result<Vec<Value>, Trouble> {
        let count = pipeline.len();
        match self.lane(lane).send_packed_commands(pipeline, 0, count).await {
            Ok(answers) => {
                let answers = answers.into_iter().map(Value::extract_error);
                Ok(answers.collect::<Result<_, _>>()?)
            }
            Err(error) => Err(error.into()),
        }
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

    /// Reads a text that may not be there.
    pub(super) async fn get(&self, lane: Lane, key: &str) -> Result<Option<Vec<u8>>, Trouble> {
        match self.ask(lane, redis::cmd("GET").arg(key)).await? {
            Value::BulkString(bytes) => Ok(Some(bytes)),
            Value::Nil => Ok(None),
            other => Err(Trouble::nonsense(&other)),
        }
    }

    /// The latest view that it was told, within the time that a first answer may take.
    pub(super) async fn view(&self) -> Result<Option<View>, Trouble> {
        match timeout(CONNECT_LIMIT, self.get(Lane::Control, scripts::VIEW)).await {
            Ok(read) => {
                let read = read?;
                self.has_answered();
                read_view(&read.unwrap_or_default())
            }
            Err(_) => Err(Trouble::Gone("it does not answer".to_string())),
        }
    }

    /// Makes this view the server's, if it has the expected one. Returns the one that it has instead.
    pub(super) async fn set_view(&self, expected: &str, view: &View) -> Result<Result<(), Option<View>>, Trouble> {
        let text = serde_json::to_string(view).map_err(|cause| Trouble::Unwilling(cause.to_string()))?;
        let cmd = scripts::set_view(expected, &view.token, &text);
        match timeout(SILENCE, self.ask(Lane::Control, &cmd)).await {
            Ok(Ok(Value::Int(0))) => Ok(Ok(())),
            Ok(Ok(Value::BulkString(other))) => Ok(Err(read_view(&other)?)),
            Ok(Ok(other)) => Err(Trouble::nonsense(&other)),
            Ok(Err(trouble)) => Err(trouble),
            Err(_) => Err(Trouble::Gone("it does not answer".to_string())),
        }
    }

    /// Asks whether it is there, unless it has not answered yet to the same question; gives the token of its view.
    pub(super) async fn pulse(&self) -> Option<Vec<u8>> {
        {
            let mut asked = self.asked.lock();
            match *asked {
                Some(at) if at.elapsed() > SILENCE => {
                    self.cut();
                    return None;
                }
                Some(_) => return None,
                None => *asked = Some(Instant::now()),
            }
        }
        let token = self.get(Lane::Control, scripts::TOKEN).await;
        *self.asked.lock() = None;
        match token {
            Ok(token) => {
                self.has_answered();
                Some(token.unwrap_or_default())
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
        if answered.elapsed() > GAP {
            self.is_vouched.store(false, Ordering::Relaxed);
        }
        *answered = Instant::now();
    }

    /// Everyone has just agreed on the view.
    pub(super) fn vouch(&self) {
        self.is_vouched.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_vouched(&self) -> bool {
        !self.is_cut() && self.is_vouched.load(Ordering::Relaxed) && self.answered.lock().elapsed() <= GAP
    }

    /// Everything that waits for an answer fails, and the connections are not used any more.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.drivers.iter().for_each(AbortHandle::abort);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed) || self.drivers.iter().any(AbortHandle::is_finished)
    }

    pub(super) fn seen(&self, view: Option<View>) -> Seen {
        Seen {
            name: self.name.clone(),
            member: self.member.clone(),
            view,
            is_vouched: self.is_vouched(),
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.drivers.iter().for_each(AbortHandle::abort);
    }
}

async fn connect(address: &Address, drivers: &mut Vec<AbortHandle>) -> Result<MultiplexedConnection, Trouble> {
    let stream = TcpStream::connect(address.host_and_port()).await;
    let stream = stream.map_err(|cause| Trouble::Gone(cause.to_string()))?;
    stream
        .set_nodelay(true)
        .map_err(|cause| Trouble::Gone(cause.to_string()))?;
    match address.tls() {
        None => speak(address, stream, drivers).await,
        Some(tls) => {
            let (host, _) = address.host_and_port();
            let stream = tls.connect(host, stream).await?;
            speak(address, stream, drivers).await
        }
    }
}

async fn speak<C>(
    address: &Address,
    stream: C,
    drivers: &mut Vec<AbortHandle>,
) -> Result<MultiplexedConnection, Trouble>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None);
    let info = address.info().redis_settings();
    let (connection, driver) = MultiplexedConnection::new_with_config(info, stream, config).await?;
    drivers.push(tokio::spawn(driver).abort_handle());
    Ok(connection)
}

/// Who the server is, and the latest view that it was told.
async fn introduce(connection: &MultiplexedConnection) -> Result<(Member, Option<View>), Trouble> {
    let mut pipeline = scripts::load_all();
    let scripts_loaded = pipeline.len();
    pipeline.cmd("INFO").arg("server");
    let mut connection = connection.clone();
    let answers = connection
        .send_packed_commands(&pipeline, 0, scripts_loaded + 1)
        .await?;
    let answers: Vec<Value> = answers
        .into_iter()
        .map(Value::extract_error)
        .collect::<Result<_, _>>()?;
    let hello = connection.send_packed_command(&scripts::hello(&new_token())).await;
    let hello = hello.and_then(Value::extract_error)?;
    let info = match answers.last() {
        Some(Value::BulkString(info)) => String::from_utf8_lossy(info).into_owned(),
        Some(other) => return Err(Trouble::nonsense(other)),
        None => return Err(Trouble::nonsense(&Value::Nil)),
    };
    let process = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    let Some(process) = process.map(str::trim).filter(|process| !process.is_empty()) else {
        return Err(Trouble::Unwilling(
            "it does not say which process it is (run_id)".to_string(),
        ));
    };
    let (server, _, view): (String, Vec<u8>, Vec<u8>) = redis::from_redis_value(hello).map_err(RedisError::from)?;
    let member = Member {
        server,
        process: process.to_string(),
    };
    Ok((member, read_view(&view)?))
}

fn read_view(bytes: &[u8]) -> Result<Option<View>, Trouble> {
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(bytes).map(Some).map_err(|_| {
        Trouble::Unwilling(
            "what is written there of the other servers was made by another version of Kappa".to_string(),
        )
    })
}
