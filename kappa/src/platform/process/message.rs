//! What a pooled worker process and its parent say to each other over their socket.
//!
//! A message is a frame: its length as `u32` in little endian, then `postcard`. No frame is longer than the bound that both sides were
//! given; nothing is allocated for a length that was only announced.

use crate::ids::Sequence;
use crate::link::http::Access;
use crate::platform::remote::{Order, Report};
use crate::protocol::{Invocation, Reply, Request};
use crate::replicas::address;
use crate::usage::Operations;
use crate::worker::WorkerEnd;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// To the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    /// The first message. Answered by `Ready`, `Unusable`, `NotNow` or `NeedsRepair`.
    Configure(Configuration),
    /// Run this to its end. One at a time. Answered by `Ended` or `Unlinked`, after any number of requests. With an access, requests go by HTTP.
    Invoke(Invocation, Option<Access>),
    /// Carry this out, for a coordinator elsewhere. One at a time. Answered by `Report`, unless the task computes without a pause until it is killed.
    Order(Box<Order>),
    /// The reply to the running invocation's request of this number.
    Reply(Sequence, Reply),
}

/// From the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromWorker {
    /// It can take invocations.
    Ready,
    /// It cannot take any, and no other worker with this configuration can.
    Unusable(String),
    /// It cannot take any at present.
    NotNow(String),
    /// Neither it nor another can take any before something is mended: what.
    NeedsRepair(String),
    /// A call of the running invocation, and what that has done in the store so far.
    Request(Request, Operations),
    /// The invocation is over. What it has done in the store.
    Ended(WorkerEnd, Operations),
    /// The invocation is over because this request could not be delivered by HTTP. What it has done in the store.
    Unlinked(Box<Request>, Operations),
    /// An order is carried out.
    Report(Box<Report>),
}

/// How a worker is to work. Holds a secret if the URL of the store does.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Configuration {
    /// URL of the store, perhaps with a password.
    pub(super) store: String,
    /// Limit of its memory in bytes.
    pub(super) memory_limit: Option<u64>,
    /// Threads that compute.
    pub(super) threads: usize,
    /// Largest frame in bytes.
    pub(super) message_limit: usize,
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Configuration {
            store,
            memory_limit,
            threads,
            message_limit,
        } = self;
        f.debug_struct("Configuration")
            .field("store", &address::shown(store))
            .field("memory_limit", memory_limit)
            .field("threads", threads)
            .field("message_limit", message_limit)
            .finish()
    }
}

/// Largest first frame: the configuration.
pub(super) const CONFIGURATION_LIMIT: usize = 64 * 1024;

/// A frame that is too long to be sent.
#[derive(Debug)]
pub(super) struct TooLong {
    /// Its length in bytes.
    pub(super) length: usize,
    limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a message of {} bytes is longer than the {} bytes that the process platform sends at once; pass less at once, or put it into the store",
            self.length, self.limit
        )
    }
}

/// The frame of a message.
pub(super) fn encode<M: Serialize>(message: &M, limit: usize) -> io::Result<Result<Vec<u8>, TooLong>> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    let length = frame.len() - 4;
    match u32::try_from(length) {
        Ok(announced) if length <= limit => {
            frame[..4].copy_from_slice(&announced.to_le_bytes());
            Ok(Ok(frame))
        }
        _ => Ok(Err(TooLong { length, limit })),
    }
}

/// Sends a frame.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    to.write_all(frame).await
}

/// Reads a message; `None` if the other side has gone between two messages.
pub(super) async fn read<M: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> io::Result<Option<M>> {
    let mut announced = [0; 4];
    if from.read(&mut announced[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut announced[1..]).await?;
    let length = u32::from_le_bytes(announced) as usize;
    if length > limit {
        let message = format!("a message of {length} bytes was announced, {limit} are allowed");
        return Err(io::Error::new(ErrorKind::InvalidData, message));
    }
    let mut body = Vec::with_capacity(length.min(1 << 20));
    from.take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let (message, rest) =
        postcard::take_from_bytes(&body).map_err(|cause| io::Error::new(ErrorKind::InvalidData, cause))?;
    if !rest.is_empty() {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "a message is longer than its content",
        ));
    }
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn r11_a_message_over_the_bound_is_an_error_on_both_sides() {
        let long = FromWorker::Unusable("x".repeat(100));
        assert!(matches!(
            encode(&long, 50),
            Ok(Err(TooLong { length: 103.., .. } | TooLong { length: 102, .. }))
        ));
        let frame = encode(&long, 200).unwrap().unwrap();
        let read: io::Result<Option<FromWorker>> = read(&mut frame.as_slice(), 50).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_truncated_or_mutilated_message_is_an_error_and_not_a_panic() {
        let frame = encode(
            &FromWorker::Ended(WorkerEnd::Panicked("end".into()), Operations::default()),
            1000,
        )
        .unwrap()
        .unwrap();
        for length in 1..frame.len() {
            let read: io::Result<Option<FromWorker>> = read(&mut &frame[..length], 1000).await;
            assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof, "cut to {length}");
        }
        let mut long = frame.clone();
        long[0] += 1;
        long.push(0);
        let read_long: io::Result<Option<FromWorker>> = read(&mut long.as_slice(), 1000).await;
        assert!(read_long.is_err());
        let nonsense: io::Result<Option<FromWorker>> = read(&mut [1u8, 0, 0, 0, 77].as_slice(), 1000).await;
        assert!(nonsense.is_err());
        let nothing: Option<FromWorker> = read(&mut [].as_slice(), 1000).await.unwrap();
        assert!(nothing.is_none());
    }
}
