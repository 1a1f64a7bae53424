//! What a task asks for without waiting: checkpoints in the background, and deferred calls.
//!
//! Guarantees that a task is neither slowed nor stopped by asking faster than it is answered, and that nothing is lost:
//!
//! * At most one checkpoint is under way. Of those made meanwhile only the newest is kept, and goes when the one before is acknowledged; a call that
//!   the task waits for, and its exit, stand for all checkpoints before them.
//! * Deferred calls travel with every request until one of them is known to be committed. They have numbers, so the coordinator knows which
//!   it has carried out already.
//!
//! What became of them is noticed at the task's next operation: an invocation that has been fenced stops there.

use super::calls::{Cancel, Checkpoint, Close};
use super::operation::{Performing, Request as _};
use super::{Context, Kind, Operation, Stop, put};
use crate::continuation::Frame;
use crate::error::Failure;
use crate::ids::{Incarnation, RunId, Sequence, TaskId};
use crate::link::Link;
use crate::protocol::{Answer, Call, Payload, Reply, Request};
use crate::store::Store;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// So many calls are deferred before one more is waited for, and takes them along.
const LONGEST_GROUP: usize = 1024;

impl Operation<Checkpoint> {
    /// Goes on while the continuation is stored. A newer checkpoint, or any other call, makes an older one that is still on its way superfluous; so
    /// it is no matter how fast they are made.
    pub fn in_background(self) -> Operation<CheckpointInBackground> {
        Operation(CheckpointInBackground)
    }
}

impl Operation<Close> {
    /// Goes on without waiting: the call takes effect together with the task's next one, both or none.
    pub fn in_background(self) -> Operation<Deferred> {
        Operation(Deferred(Call::Close(self.0.0)))
    }
}

impl Operation<Cancel> {
    /// Goes on without waiting: the call takes effect together with the task's next one, both or none.
    pub fn in_background(self) -> Operation<Deferred> {
        Operation(Deferred(Call::Cancel(self.0.0)))
    }
}

/// [`Context::checkpoint`] in the background.
pub struct CheckpointInBackground;
impl Kind for CheckpointInBackground {
    type Output = ();

    fn perform<'a>(operation: Option<Self>, cx: &'a mut Context, frame: &'a Frame<'a>) -> Performing<'a, ()> {
        match operation {
            Some(_) => Box::pin(cx.checkpoint_in_background(frame)),
            None => Box::pin(Checkpoint::exchange(None, cx, frame)),
        }
    }
}

/// [`Context::close`] or [`Context::cancel`] in the background.
pub struct Deferred(Call);
impl Kind for Deferred {
    type Output = ();

    fn perform<'a>(operation: Option<Self>, cx: &'a mut Context, frame: &'a Frame<'a>) -> Performing<'a, ()> {
        match operation {
            Some(Deferred(call)) => Box::pin(cx.defer(call, frame)),
            // It was waited for, because it would have made the group too long.
            None => Box::pin(Close::exchange(None, cx, frame)),
        }
    }
}

/// What an invocation has asked for and has not heard of.
#[derive(Default)]
pub(super) struct Background {
    deferred: Vec<(Sequence, Call)>,
    outgoing: Arc<Mutex<Outgoing>>,
    sending: Option<Sending>,
}

/// Ends the sending of checkpoints when the invocation ends.
struct Sending(JoinHandle<()>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the task and the sending of its checkpoints share.
#[derive(Default)]
struct Outgoing {
    /// The newest checkpoint, if it has not been sent.
    next: Option<Unsent>,
    /// One is being sent.
    busy: bool,
    /// Calls up to this number are known to be committed.
    acknowledged: Sequence,
    /// The call of this number stands for all checkpoints before it.
    superseded: Sequence,
    /// Why the invocation has to end.
    verdict: Option<Stop>,
}

struct Unsent {
    sequence: Sequence,
    deferred: Vec<(Sequence, Call)>,
    continuation: Vec<u8>,
}

/// Who sends, by which way.
struct Sender {
    run: RunId,
    task: TaskId,
    incarnation: Incarnation,
    link: Arc<dyn Link>,
    store: Arc<dyn Store>,
    outgoing: Arc<Mutex<Outgoing>>,
}

impl Background {
    /// Calls that are not known to be committed.
    pub(super) fn deferred(&self) -> Vec<(Sequence, Call)> {
        self.deferred.clone()
    }

    /// Calls up to this number are committed.
    pub(super) fn acknowledge(&mut self, sequence: Sequence) {
        self.deferred.retain(|(number, _)| *number > sequence);
    }

    /// Checkpoints before this call need not be sent any more.
    pub(super) fn supersede(&mut self, sequence: Sequence) {
        if self.sending.is_some() {
            let mut outgoing = self.outgoing.lock();
            outgoing.next = None;
            outgoing.superseded = sequence;
        }
    }

    /// Takes note of what has been heard meanwhile.
    fn hear(&mut self) -> Option<Stop> {
        self.sending.as_ref()?;
        let (acknowledged, verdict, busy) = {
            let mut outgoing = self.outgoing.lock();
            (outgoing.acknowledged, outgoing.verdict.take(), outgoing.busy)
        };
        self.acknowledge(acknowledged);
        if !busy {
            self.sending = None;
        }
        verdict
    }

    /// Waits until nothing is under way any more, so that no object is left that nobody knows of.
    async fn settle(&mut self) {
        if let Some(mut sending) = self.sending.take() {
            // It fails only if it panicked, and then it is over too.
            let _ = (&mut sending.0).await;
        }
    }
}

impl Context {
    /// Ends the invocation if something in the background says so.
    pub(super) async fn heed(&mut self) {
        if let Some(stop) = self.background.hear() {
            self.end(stop).await
        }
    }

    /// Waits until nothing is under way any more.
    pub(crate) async fn settle(&mut self) {
        self.background.settle().await;
    }

    async fn checkpoint_in_background(&mut self, frame: &Frame<'_>) {
        self.heed().await;
        if self.is_time_up() {
            // The last of this invocation, which leaves when it is committed.
            self.request(Call::Checkpoint, frame).await;
            return;
        }
        let continuation = self.encoded(frame).await;
        self.sequence += 1;
        self.due.renew();
        let unsent = Unsent {
            sequence: self.sequence,
            deferred: self.background.deferred(),
            continuation,
        };
        {
            let mut outgoing = self.background.outgoing.lock();
            outgoing.next = Some(unsent);
            if outgoing.busy {
                return;
            }
            outgoing.busy = true;
        }
        let sender = Sender {
            run: self.run,
            task: self.task,
            incarnation: self.incarnation,
            link: self.link.clone(),
            store: self.store.clone(),
            outgoing: self.background.outgoing.clone(),
        };
        let mut sending = Box::pin(sender.send_all());
        // The first step here: a coordinator that answers at once costs no change of threads, and the request is handed over before any later one.
        if futures::poll!(&mut sending).is_pending() {
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => {
                    self.background.sending = Some(Sending(runtime.spawn(sending)));
                    // What was just spawned waits in a place of this thread that no other thread takes from, and the task may now compute for long.
                    tokio::task::yield_now().await;
                }
                // Nobody else is there to do it.
                Err(_) => sending.await,
            }
        }
        let (acknowledged, verdict) = {
            let mut outgoing = self.background.outgoing.lock();
            (outgoing.acknowledged, outgoing.verdict.take())
        };
        self.background.acknowledge(acknowledged);
        if let Some(stop) = verdict {
            self.end(stop).await
        }
    }

    async fn defer(&mut self, call: Call, frame: &Frame<'_>) {
        self.heed().await;
        if self.background.deferred.len() >= LONGEST_GROUP {
            self.request(call, frame).await;
        } else {
            self.sequence += 1;
            self.background.deferred.push((self.sequence, call));
        }
    }
}

impl Sender {
    /// Sends checkpoints, always the newest, until there is none or the invocation has to end.
    async fn send_all(self) {
        loop {
            let unsent = {
                let mut outgoing = self.outgoing.lock();
                match outgoing.next.take() {
                    Some(unsent) => unsent,
                    None => {
                        outgoing.busy = false;
                        return;
                    }
                }
            };
            let sequence = unsent.sequence;
            let heard = self.send(unsent).await;
            let mut outgoing = self.outgoing.lock();
            match heard {
                Ok(()) => outgoing.acknowledged = outgoing.acknowledged.max(sequence),
                Err(stop) => {
                    outgoing.verdict = Some(stop);
                    outgoing.next = None;
                    outgoing.busy = false;
                    return;
                }
            }
        }
    }

    async fn send(&self, unsent: Unsent) -> Result<(), Stop> {
        let stored = put(
            &*self.store,
            self.run,
            self.task,
            "checkpoint",
            unsent.continuation,
            Payload::INLINE_LIMIT,
        )
        .await;
        let continuation = stored.map_err(Stop::Break)?;
        if self.outgoing.lock().superseded > unsent.sequence {
            if let Payload::Stored { key, .. } = &continuation
                && let Err(cause) = self.store.delete(key).await
            {
                // It is deleted with everything else at the run's end.
                tracing::warn!(%cause, "a superseded checkpoint stays for now");
            }
            return Ok(());
        }
        let request = Request {
            task: self.task,
            incarnation: self.incarnation,
            sequence: unsent.sequence,
            deferred: unsent.deferred,
            continuation,
            call: Call::Checkpoint,
        };
        match self.link.send(request).await {
            Reply::Answer(Answer::Refused(reason)) => Err(Stop::Fail(Failure::Refused(reason).into())),
            Reply::Answer(_) => Ok(()),
            Reply::Suspend | Reply::Fenced => Err(Stop::Leave),
        }
    }
}
