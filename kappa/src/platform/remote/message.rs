//! What is said, its version and its bounds.
//!
//! A message is one byte that names its version, then `postcard`. What reads it has been told before how many bytes it may have.

use crate::link::http::Access;
use crate::protocol::{Invocation, Request};
use crate::replicas::address;
use crate::store::{Store, StoreError};
use crate::usage::Operations;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// The version of orders, reports and all that they hold. It grows with every change.
const VERSION: u8 = 4;

/// Longest part of a message in bytes that goes through the store.
pub(super) const LONGEST_STORED: u64 = 256 << 20;

/// Work for a worker. Holds secrets: the run's, and perhaps a password in the URL of the store.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Which [`program`] gives it.
    pub(crate) program: String,
    /// What is to be run.
    pub(crate) invocation: Part<Invocation>,
    /// How the coordinator is reached; without it, the worker leaves with its first request.
    pub(crate) access: Option<Access>,
    /// URL of the store.
    pub(crate) store: String,
    /// Longest report in bytes.
    pub(crate) report_limit: u64,
    /// How long it may run, for those who carry the order out by force and do not look into it.
    pub(crate) time_limit: Option<Duration>,
}

/// What a worker says when it has carried out an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// How the invocation ended.
    pub(crate) end: Part<End>,
    /// What it took.
    pub(crate) usage: Usage,
    /// The number that its calls by HTTP bore, whether or not one was heard: it tells apart two workers that were given the same order. `None` from
    /// one that could make no calls.
    pub(crate) delivery: Option<String>,
}

impl Report {
    /// On a worker that cannot report any more.
    pub(crate) fn short(end: End, time: Duration) -> Self {
        let is_cold = false;
        Report {
            end: Part::Here(end),
            usage: Usage {
                time,
                is_cold,
                store: Operations::default(),
            },
            delivery: None,
        }
    }

    /// Whether the worker is better not used again.
    pub(crate) fn is_of_a_broken_program(&self) -> bool {
        matches!(self.end, Part::Here(End::Broken(_)))
    }
}

/// How an invocation ended, as its worker saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// The task exited, was suspended, or was fenced.
    Returned,
    /// It left because its time was up.
    OutOfTime,
    /// The program broke: the panic's message and place, or how its process ended.
    Broken(String),
    /// The memory limit took it.
    OutOfMemory(String),
    /// Its process was killed from outside.
    Killed(String),
    /// The store could not be reached, for longer than a worker waits: its last error.
    StoreAway(String),
    /// This program cannot go on with the task: what does not fit.
    WrongProgram(String),
    /// Nobody can go on with the task before something is mended: what.
    NeedsRepair(String),
    /// The coordinator cannot be reached; this is what it should have been told.
    Unlinked(Box<Request>),
    /// This worker cannot run such an order, and never will.
    Unusable(String),
}

/// What an invocation took of its worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// From the order to its report.
    pub(crate) time: Duration,
    /// It was the first order of this worker.
    pub(crate) is_cold: bool,
    /// What it did in the run's store.
    pub(crate) store: Operations,
}

/// A part of a message: in it, or in the store if the message would be too long with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part<T> {
    /// Here it is.
    Here(T),
    /// An object of the run, as `postcard`.
    Stored { key: String, length: u64 },
}

impl<T: Serialize + DeserializeOwned> Part<T> {
    /// Puts it into the store, under a key of its own below `folder`.
    pub(super) async fn store(value: &T, folder: &str, store: &dyn Store) -> Result<Self, Unopened> {
        let bytes = postcard::to_stdvec(value).map_err(|cause| Unopened::Nonsense(cause.to_string()))?;
        let length = bytes.len() as u64;
        if length > LONGEST_STORED {
            return Err(Unopened::Nonsense(format!(
                "{length} bytes are more than the {LONGEST_STORED} bytes that are passed on at once"
            )));
        }
        let key = format!("{folder}/{}", uuid::Uuid::new_v4().as_simple());
        let put = store.put(&key, Bytes::from(bytes)).await;
        put?;
        Ok(Part::Stored { key, length })
    }

    /// The part, from wherever it is. One that is stored must be below `folder`.
    pub(super) async fn open(self, folder: &str, store: &dyn Store) -> Result<T, Unopened> {
        let (key, length) = match self {
            Part::Here(value) => return Ok(value),
            Part::Stored { key, length } => (key, length),
        };
        let is_below = key.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        if !is_below || length > LONGEST_STORED {
            let cause = format!("{key:?} of {length} bytes is no part of a message");
            return Err(Unopened::Nonsense(cause));
        }
        let bytes = store.get(&key).await?;
        match postcard::take_from_bytes(&bytes) {
            Ok((value, [])) if bytes.len() as u64 == length => Ok(value),
            _ => Err(Unopened::Nonsense(format!("{key} is not what was stored there"))),
        }
    }

    /// Its key, if it is in the store.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Part::Here(_) => None,
            Part::Stored { key, .. } => Some(key),
        }
    }
}

/// Why a part cannot be had, or not be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unopened {
    /// The store does not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what it should be.
    #[error("{0}")]
    Nonsense(String),
}

impl Unopened {
    /// Whether it may be there when the store can be reached again.
    pub(super) fn is_store_away(&self) -> bool {
        matches!(self, Unopened::Store(cause) if cause.is_retryable())
    }

    /// Whether it cannot be there before somebody has mended the store.
    pub(super) fn needs_repair(&self) -> bool {
        matches!(self, Unopened::Store(cause) if cause.needs_repair())
    }
}

/// This program, as far as continuations and orders depend on it: the same for all processors and systems it is built for, another if a source file of a crate
/// with tasks has changed.
pub(crate) fn program() -> String {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    let make = || format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), crate::task::fingerprint());
    PROGRAM.get_or_init(make).clone()
}

/// What is said where two programs should be one.
pub(crate) fn other_program(coordinator: &str, function: &str) -> String {
    format!(
        "the function is another program, or another version of it ({function}, and the coordinator is {coordinator}): continuations are only understood by the \
         code that made them; deploy the coordinator's build"
    )
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Order {
            program,
            invocation,
            access,
            store,
            report_limit,
            time_limit,
        } = self;
        f.debug_struct("Order")
            .field("program", program)
            .field("invocation", invocation)
            .field("access", access)
            .field("store", &address::shown(store))
            .field("report_limit", report_limit)
            .field("time_limit", time_limit)
            .finish()
    }
}

/// Why bytes are not the message that they should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoMessage {
    /// The other side is of another build.
    #[error(
        "the other side speaks version {0} of the protocol and this one version {VERSION}; give the coordinator and its workers the same build of \
         the program"
    )]
    Version(u8),
    /// They are none.
    #[error("the message cannot be read: {0}")]
    Nonsense(String),
}

/// The bytes of an order or a report.
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, String> {
    postcard::to_extend(message, vec![VERSION]).map_err(|cause| cause.to_string())
}

/// An order or a report from its bytes.
pub(crate) fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, NoMessage> {
    let Some((version, encoded)) = bytes.split_first() else {
        return Err(NoMessage::Nonsense("it is empty".into()));
    };
    if *version != VERSION {
        return Err(NoMessage::Version(*version));
    }
    match postcard::take_from_bytes(encoded) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(NoMessage::Nonsense(format!("{} bytes follow it", rest.len()))),
        Err(cause) => Err(NoMessage::Nonsense(cause.to_string())),
    }
}
