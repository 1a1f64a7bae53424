//! Events on their way into the state and the journal.

use super::{Core, Shared};
use crate::coordinator::sabotage::{self, Sabotage};
use crate::coordinator::state::{Action, Event, Timestamp, encode_record};
use crate::ids::{Incarnation, Sequence, TaskId};
use crate::journal::{Journal, JournalError};
use crate::protocol::{Reply, Request};
use crate::runtime::RunError;
use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};

/// No batch is longer, so that nobody waits for ever.
const LONGEST_BATCH: usize = 4096;

/// What is appended at once has no more bytes than this, if it is not a single record.
const LONGEST_PIECE: usize = 64 << 20;

/// What the recorder is given.
pub(super) enum Input {
    Event(Event),
    Request(Request, oneshot::Sender<Reply>),
    /// An event whose being recorded is acknowledged; after the run's last one by a snapshot.
    Milestone(Event, Milestone, oneshot::Sender<()>),
}

/// An event that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Milestone {
    /// It is in the journal: a run that begins can be resumed from now on, and one that goes on is still this coordinator's.
    Recorded,
    /// Nothing but the result is needed any more.
    Last,
}

/// When to replace the records by a snapshot: when they have become several times as long, so that the cost of snapshots stays in proportion
/// to what is recorded, and so does the time of a recovery.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    appended: usize,
    snapshot: usize,
    /// A snapshot that is written under the lock holds everybody up: not before then.
    not_before: Timestamp,
}

impl Compaction {
    const FACTOR: usize = 4;

    /// What a snapshot costs under the lock is to be at most one part in so many of the time, if the journal stays short enough.
    const PART: u32 = 50;

    pub(super) fn loaded(snapshot: Option<&[u8]>, records: &[Vec<u8>]) -> Self {
        Compaction {
            appended: records.iter().map(Vec::len).sum(),
            snapshot: snapshot.map_or(0, <[u8]>::len),
            ..Compaction::default()
        }
    }

    fn appended(&mut self, bytes: usize) {
        self.appended += bytes;
    }

    fn is_due(&self, journal: &dyn Journal) -> bool {
        self.appended > journal.snapshot_floor().max(self.snapshot.saturating_mul(Self::FACTOR))
    }

    /// Whether a snapshot that is due can wait: not for long, or the journal would grow.
    fn may_rest(&self, journal: &dyn Journal, now: Timestamp) -> bool {
        let most = journal.snapshot_floor().max(self.snapshot.saturating_mul(Self::FACTOR));
        now < self.not_before && self.appended <= most.saturating_mul(3)
    }

    fn done(&mut self, snapshot: usize) {
        (self.appended, self.snapshot) = (0, snapshot);
    }
}

impl Core {
    fn take_snapshot(&mut self) -> Vec<u8> {
        let snapshot = self.state.snapshot();
        self.compaction.done(snapshot.len());
        snapshot
    }

    /// Remembers where a reply goes. Nobody waits for it any more if the invocation has ended: then the caller is told that it is fenced.
    pub(super) fn await_reply(
        &mut self,
        key: (TaskId, Incarnation),
        sequence: Sequence,
        sender: oneshot::Sender<Reply>,
    ) {
        if self.invocations.contains_key(&key) {
            self.waiting.entry(key).or_default().push((sequence, sender));
        }
    }
}

/// Records in pieces of moderate length: what a journal takes at once is limited.
fn pieces(records: Vec<Vec<u8>>, journal: &dyn Journal) -> Vec<Vec<Vec<u8>>> {
    // Half of it leaves enough for what is kept with each of them.
    let longest = LONGEST_PIECE.min(journal.longest_snapshot() / 2);
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut bytes = 0;
    for record in records {
        if bytes + record.len() > longest && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
            bytes = 0;
        }
        bytes += record.len();
        piece.push(record);
    }
    pieces.push(piece);
    pieces
}

impl Shared {
    /// Applies and records an event on the caller's thread. If it cannot be recorded, the run stops, and nothing is to be done.
    pub(super) fn apply_now(&self, core: &mut Core, event: Event) -> Vec<Action> {
        if core.stopped {
            return Vec::new();
        }
        let at = self.now();
        let mut actions = Vec::new();
        let Some(journal) = &self.setup.journal else {
            core.state.apply(at, event, &mut actions);
            return actions;
        };
        let record = encode_record(at, &event);
        core.compaction.appended(record.len());
        core.state.apply(at, event, &mut actions);
        if core.state.broken().is_some() {
            // What led to it is not recorded: whoever resumes the run goes on from before it.
            return actions;
        }
        if sabotage::is(Sabotage::DoesBeforeRecording) {
            self.perform(core, actions.clone());
        }
        self.writes_journal();
        let recorded = at_once(journal.append(vec![record]));
        let compacted = recorded.and_then(|()| match core.compaction.is_due(&**journal) {
            true if core.compaction.may_rest(&**journal, at) => Ok(()),
            true => self.compact_now(core, &**journal),
            false => Ok(()),
        });
        match compacted {
            Ok(()) => actions,
            Err(cause) => {
                self.stop_locked(
                    core,
                    RunError::Journal {
                        run: self.setup.run,
                        cause,
                    },
                );
                Vec::new()
            }
        }
    }

    fn compact_now(&self, core: &mut Core, journal: &dyn Journal) -> Result<(), JournalError> {
        let snapshot = core.take_snapshot();
        if !self.fits(&snapshot, journal) {
            return Ok(());
        }
        self.writes_journal();
        let begun = self.now();
        at_once(journal.snapshot(snapshot))?;
        let done = self.now();
        core.compaction.not_before = done.after(done.since(begun) * Compaction::PART);
        Ok(())
    }

    /// Whether the journal takes it. If not, the records stay, which is slower to resume and never wrong.
    fn fits(&self, snapshot: &[u8], journal: &dyn Journal) -> bool {
        let (length, most) = (snapshot.len(), journal.longest_snapshot());
        if length > most {
            let run = self.setup.run;
            tracing::warn!(%run, length, most, "the state is too long for a snapshot: the journal keeps every record for now");
        }
        length <= most
    }

    /// Applies and records an event, and returns when it is durable. False if the run was stopped before.
    pub(super) async fn pass(&self, milestone: Milestone, event: Event) -> bool {
        let acknowledged = self.with_core(|core| {
            if core.stopped {
                return Ok(false);
            }
            if let Some(inputs) = &core.inputs {
                let (sender, receiver) = oneshot::channel();
                // If the recorder is gone, the receiver says so.
                let _ = inputs.send(Input::Milestone(event, milestone, sender));
                return Err(receiver);
            }
            let actions = self.apply_now(core, event);
            self.perform(core, actions);
            if let Some(journal) = &self.setup.journal
                && milestone == Milestone::Last
                && !core.stopped
                && let Err(cause) = self.compact_now(core, &**journal)
            {
                let run = self.setup.run;
                self.stop_locked(core, RunError::Journal { run, cause });
            }
            Ok(!core.stopped)
        });
        match acknowledged {
            Ok(is_recorded) => is_recorded,
            Err(receiver) => receiver.await.is_ok(),
        }
    }

    /// The recorder: takes what has arrived, applies it, has it recorded as one batch, and only then lets the actions happen.
    pub(super) async fn record_batches(&self, journal: &dyn Journal, mut received: mpsc::UnboundedReceiver<Input>) {
        while let Some(first) = received.recv().await {
            let mut inputs = vec![first];
            while inputs.len() < LONGEST_BATCH
                && let Ok(next) = received.try_recv()
            {
                inputs.push(next);
            }
            if let Err(cause) = self.record_batch(journal, inputs).await {
                self.stop(RunError::Journal {
                    run: self.setup.run,
                    cause,
                });
                return;
            }
        }
    }

    async fn record_batch(&self, journal: &dyn Journal, inputs: Vec<Input>) -> Result<(), JournalError> {
        let mut records = Vec::new();
        let mut actions = Vec::new();
        let mut acknowledge = Vec::new();
        let mut is_last = false;
        {
            let mut core = self.core.lock();
            for input in inputs {
                if core.stopped {
                    return Ok(());
                }
                let event = match input {
                    Input::Event(event) => event,
                    Input::Request(request, sender) => {
                        core.await_reply((request.task, request.incarnation), request.sequence, sender);
                        Event::Requested(request)
                    }
                    Input::Milestone(event, milestone, sender) => {
                        acknowledge.push(sender);
                        is_last |= milestone == Milestone::Last;
                        event
                    }
                };
                let at = self.now();
                let record = encode_record(at, &event);
                core.compaction.appended(record.len());
                records.push(record);
                core.state.apply(at, event, &mut actions);
                if let Some(cause) = core.state.broken() {
                    // Nothing of the batch is recorded, or done: whoever resumes the run goes on from before it.
                    let reason = super::broken(&self.setup, cause);
                    self.stop_locked(&mut core, reason);
                }
                if core.stopped {
                    break;
                }
            }
        }
        self.tell_observers();
        if self.is_stopped() {
            return Ok(());
        }
        if sabotage::is(Sabotage::DoesBeforeRecording) {
            self.with_core(|core| self.perform(core, std::mem::take(&mut actions)));
        }
        for piece in pieces(records, journal) {
            self.writes_journal();
            journal.append(piece).await?;
        }
        let snapshot = self.with_core(|core| {
            if !core.stopped {
                self.perform(core, actions);
            }
            let is_due = core.compaction.is_due(journal) || is_last;
            is_due.then(|| core.take_snapshot())
        });
        if let Some(snapshot) = snapshot
            && self.fits(&snapshot, journal)
        {
            self.writes_journal();
            journal.snapshot(snapshot).await?;
        }
        for sender in acknowledge {
            // Whoever does not wait any more does not need to know.
            let _ = sender.send(());
        }
        Ok(())
    }
}

/// The outcome of a journal that said it neither blocks nor waits.
fn at_once(step: impl Future<Output = Result<(), JournalError>>) -> Result<(), JournalError> {
    step.now_or_never().unwrap_or_else(|| {
        Err(JournalError::Unavailable {
            place: "in memory".to_string(),
            action: "append".to_string(),
            cause: "it said that it never waits, but it does".to_string(),
        })
    })
}
