//! The end of a run: its result is brought into safety, and everything else of it goes.

use super::Shared;
use super::record::Milestone;
use crate::coordinator::state::Event;
use crate::protocol::{Payload, TaskResult};
use crate::runtime::RunError;
use crate::store::StoreError;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How long the end of a run waits for its invocations to go. They have been told; a platform that does not obey must not keep the result from
/// whoever waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A longer result is not copied into the journal: each snapshot of it would take as long, and no journal takes everything.
const LONGEST_RECORDED_RESULT: usize = 4 << 20;

/// How often the store is asked at the end of a run, and the first delay; it doubles, up to the longest: half a minute in all.
const TRIES: u32 = 20;
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

impl Shared {
    pub(super) fn finish(&self) {
        if let Some(me) = self.me.upgrade() {
            self.setup.runtime.spawn(async move {
                let outcome = me.collect_and_clean_up().await;
                me.settle(outcome);
            });
        }
    }

    async fn collect_and_clean_up(self: &Arc<Self>) -> Result<Bytes, RunError> {
        let run = self.setup.run;
        let all_gone = tokio::select! {
            biased;
            () = self.until_nothing_runs() => true,
            () = self.setup.clock.sleep(PATIENCE) => false,
        };
        if !all_gone {
            tracing::warn!(%run, "the run has ended, but some of its invocations do not go");
            for invocation in self.core.lock().invocations.values() {
                invocation.abort();
            }
        }
        let result = self.core.lock().state.ended().cloned();
        let outcome = self.collect(result).await;
        // Nothing is deleted while the result is nowhere else.
        let is_safe = matches!(outcome, Ok(_) | Err(RunError::Failed(_)));
        let prefix = run.objects();
        let is_recorded = match &self.setup.journal {
            // Of a result the last snapshot is on the disk; a failure must be there too, or a resume would look for what is deleted here.
            Some(journal) if is_safe => journal.sync().await.is_ok(),
            _ => true,
        };
        if is_safe
            && is_recorded
            && let Err(cause) = self.patiently(|| self.setup.store.delete_prefix(&prefix)).await
        {
            tracing::warn!(%run, %cause, "the run has ended, but its objects cannot be deleted; resume it to try again");
        }
        outcome
    }

    /// The result's bytes; in the journal too, so that the run can be asked again.
    async fn collect(&self, result: Option<TaskResult>) -> Result<Bytes, RunError> {
        let run = self.setup.run;
        let (bytes, collected) = match result {
            Some(Ok(Payload::Inline(bytes))) => (bytes.clone(), Payload::Inline(bytes)),
            Some(Ok(Payload::Stored { key, length })) => {
                let read = self.patiently(|| self.setup.store.get(&key)).await;
                let bytes = read.map_err(|cause| RunError::Store { run, cause })?;
                let kept = self.keep(key, length, &bytes).await;
                (bytes, kept.map_err(|cause| RunError::Store { run, cause })?)
            }
            Some(Err(error)) => return Err(RunError::Failed(error)),
            None => return Err(self.interrupted()),
        };
        let collected = Event::ResultCollected(collected);
        match self.pass(Milestone::Last, collected).await {
            true => Ok(bytes),
            false => Err(self.interrupted()),
        }
    }

    /// Where a stored result stays when everything else of the run goes: in the journal, or, if it is long, in the store, among what is removed with the run.
    async fn keep(&self, key: String, length: u64, bytes: &Bytes) -> Result<Payload, StoreError> {
        let most = self.setup.journal.as_ref().map_or(usize::MAX, |journal| {
            LONGEST_RECORDED_RESULT.min(journal.longest_snapshot() / 2)
        });
        if bytes.len() <= most {
            return Ok(Payload::Inline(bytes.clone()));
        }
        let results = self.setup.run.results();
        if key.starts_with(&format!("{results}/")) {
            return Ok(Payload::Stored { key, length });
        }
        // A name of this life's: what an earlier one has put before it lost its power may be torn, or another result.
        let key = format!("{results}/value-{:x}", self.setup.life);
        match self.patiently(|| self.setup.store.put(&key, bytes.clone())).await {
            // It was put at the first try, whose answer was lost.
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => Ok(Payload::Stored { key, length }),
            Err(cause) => Err(cause),
        }
    }

    /// Asks the store again if it says that this may help: the run has done its work, and nobody else would do this for it.
    async fn patiently<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut delay = FIRST_DELAY;
        for _ in 1..TRIES {
            match ask().await {
                Err(cause) if cause.is_retryable() && !self.is_stopped() => {
                    self.setup.clock.sleep(delay).await;
                }
                answer => return answer,
            }
            delay = (delay * 2).min(LONGEST_DELAY);
        }
        ask().await
    }

    /// Tells those who wait, unless the run was stopped meanwhile: then they have been told why.
    fn settle(&self, outcome: Result<Bytes, RunError>) {
        self.with_core(|core| {
            self.is_over(core, outcome);
            core.stopped = true;
            core.inputs = None;
            self.gate.close();
            self.earlier_timer.notify_one();
        });
    }
}
