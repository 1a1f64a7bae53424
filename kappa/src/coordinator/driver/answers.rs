//! Answers that are too long for one message.
//!
//! Guarantees that no message carries more than about [`MOST_INLINE`] bytes of results, however many tasks somebody has waited for: a longer answer goes
//! through the store, as a whole, and is deleted when the invocation that it was for is over. The state and the journal know nothing of it: whoever is
//! answered again is answered from the state.

use super::{Key, Shared};
use crate::ids::Sequence;
use crate::protocol::{Answer, Invocation, InvocationOutcome, Payload, Reply, Start, TaskResult};
use crate::store::{Store, StoreError};
use bytes::Bytes;
use std::time::Duration;

/// Bytes of results in one answer: small beside what any link carries (64 MiB by HTTP, 256 MiB through the store).
const MOST_INLINE: usize = 16 << 20;

/// Bytes of one object: every store takes it.
const PIECE: usize = 32 << 20;

/// How long the store is left alone after it has failed, at first and at most.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether an answer has to go through the store.
fn is_long(answer: &Answer) -> bool {
    let Answer::Results(results) = answer else { return false };
    let length = |result: &TaskResult| match result {
        Ok(Payload::Inline(bytes)) => bytes.len() + 8,
        Ok(Payload::Stored { key, .. }) => key.len() + 16,
        Err(error) => error.to_string().len() + 64,
    };
    let mut left = MOST_INLINE;
    results.iter().any(|result| match left.checked_sub(length(result)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    })
}

/// Brings an answer into the store, in pieces below this prefix, which nobody else has.
async fn stored(answer: &Answer, prefix: &str, store: &dyn Store) -> Result<Answer, StoreError> {
    let bytes = postcard::to_allocvec(answer).map_err(|cause| StoreError::Invalid(cause.to_string()))?;
    let bytes = Bytes::from(bytes);
    let mut pieces = Vec::new();
    for start in (0..bytes.len()).step_by(PIECE) {
        let piece = bytes.slice(start..bytes.len().min(start + PIECE));
        let (key, length) = (format!("{prefix}-{start}"), piece.len() as u64);
        match store.put(&key, piece).await {
            // The same answer was stored before: its request came twice, or the store's own answer was lost.
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => pieces.push(Payload::Stored { key, length }),
            Err(cause) => return Err(cause),
        }
    }
    Ok(Answer::Stored(pieces))
}

impl Shared {
    /// Of the keys of what an invocation is answered through the store.
    fn answers(&self, (task, incarnation): Key) -> String {
        format!("{}/answers/{}-{incarnation}", self.setup.run.objects(), task.0)
    }

    /// Deletes what an invocation was answered through the store: it is over.
    pub(super) async fn forget_answers(&self, key: Key) {
        if let Err(cause) = self.setup.store.delete_prefix(&self.answers(key)).await {
            tracing::warn!(%cause, "a long answer that was read stays to the end of the run");
        }
    }

    /// Makes a reply short enough. A store that fails is asked again, as long as somebody waits; one that has to be mended stops the run.
    pub(super) async fn short_reply(&self, key: Key, sequence: Sequence, reply: Reply) -> Reply {
        let answer = match reply {
            Reply::Answer(answer) if is_long(&answer) => answer,
            short => return short,
        };
        let mut pause = Duration::ZERO;
        loop {
            match self.shortened(key, sequence, &answer).await {
                Ok(answer) => return Reply::Answer(answer),
                Err(cause) if cause.needs_repair() => {
                    self.stop(self.needs_repair(format!("a long answer cannot be stored: {cause}")));
                    return Reply::Fenced;
                }
                Err(cause) => tracing::warn!(task = %key.0, %cause, "a long answer cannot be stored"),
            }
            pause = (pause * 2).clamp(PAUSE, LONGEST_PAUSE);
            self.setup.clock.sleep(pause).await;
            if self.is_stopped() || !self.core.lock().invocations.contains_key(&key) {
                return Reply::Fenced;
            }
        }
    }

    /// Makes what an invocation starts with short enough, or says how the invocation ends before it has begun.
    pub(super) async fn short_start(&self, mut invocation: Invocation) -> Result<Invocation, InvocationOutcome> {
        let key = (invocation.task, invocation.incarnation);
        if let Start::Resume { answer, .. } = &mut invocation.start
            && is_long(answer)
        {
            let short = self.shortened(key, invocation.last_sequence, answer).await;
            *answer = short.map_err(|cause| {
                let reason = format!("a long answer cannot be stored: {cause}");
                match cause.needs_repair() {
                    true => InvocationOutcome::NeedsRepair(reason),
                    false => InvocationOutcome::StoreAway(reason),
                }
            })?;
        }
        Ok(invocation)
    }

    async fn shortened(&self, key: Key, sequence: Sequence, answer: &Answer) -> Result<Answer, StoreError> {
        self.core.lock().long_answers.insert(key);
        stored(answer, &format!("{}/{sequence}", self.answers(key)), &*self.setup.store).await
    }
}

#[cfg(test)]
mod tests {
    use crate::context::whole;
    use crate::coordinator::driver::tests::{Scripted, exit, request, root, setup, soon};
    use crate::coordinator::driver::{Coordinator, Setup};
    use crate::ids::TaskId;
    use crate::journal::MemoryJournal;
    use crate::protocol::{Answer, Call, InvocationOutcome, Payload, Reply, Start, TaskSpec};
    use crate::store::{Memory, Store, StoreError};
    use async_trait::async_trait;
    use bytes::Bytes;
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    const CHILDREN: u64 = 400;

    /// Every third put is done, and said to have failed.
    #[derive(Debug, Default)]
    struct Forgetful {
        inner: Memory,
        puts: AtomicU64,
    }

    #[async_trait]
    impl Store for Forgetful {
        async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
            let put = self.inner.put(key, bytes).await;
            match self.puts.fetch_add(1, Ordering::SeqCst) % 3 {
                0 => Err(StoreError::Unavailable {
                    store: self.url(),
                    action: format!("put {key}"),
                    retryable: true,
                    cause: "its answer was lost".to_string(),
                }),
                _ => put,
            }
        }
        async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
            self.inner.get(key).await
        }
        async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
            self.inner.get_ranges(key, ranges).await
        }
        async fn delete(&self, key: &str) -> Result<(), StoreError> {
            self.inner.delete(key).await
        }
        async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
            self.inner.delete_prefix(prefix).await
        }
        fn is_shared(&self) -> bool {
            false
        }
        fn url(&self) -> String {
            "forgetful:".to_string()
        }
    }

    fn value(of: u64) -> Bytes {
        Bytes::from(vec![of as u8; 60 << 10])
    }

    /// Sees that the answer came through the store, with all values.
    async fn look(answer: &Answer, store: &dyn Store) {
        assert!(matches!(answer, Answer::Stored(_)));
        let answer = whole(answer.clone(), store).await.expect("it is there");
        let Answer::Results(results) = answer else {
            panic!("no results")
        };
        assert_eq!(results.len() as u64, CHILDREN);
        for (of, result) in (1..).zip(results) {
            assert_eq!(result, Ok(Payload::Inline(value(of))));
        }
    }

    /// A root that waits for children whose values are too long together: it gives way, is answered when it is back, and then asks again, twice the same.
    fn waits_for_many(store: Arc<Forgetful>, kills: u64) -> Setup {
        let its_store = store.clone();
        let platform = Scripted::new(8, move |invocation, link| {
            let store = its_store.clone();
            async move {
                let root = invocation.task == TaskId::ROOT;
                let last = invocation.last_sequence;
                match &invocation.start {
                    Start::Begin(_) if root => {
                        let specs = (0..CHILDREN).map(|_| TaskSpec::new("child", Payload::Inline(Bytes::new())));
                        link.send(request(&invocation, 1, Call::Spawn(specs.collect()))).await;
                        let children = (1..=CHILDREN).map(TaskId).collect();
                        let said = link.send(request(&invocation, 2, Call::WaitAll(children))).await;
                        assert_eq!(said, Reply::Suspend);
                    }
                    Start::Begin(_) => {
                        let value = Call::Exit(Ok(Payload::Inline(value(invocation.task.0))));
                        link.send(request(&invocation, 1, value)).await;
                    }
                    Start::Resume { answer, .. } => {
                        look(answer, &*store).await;
                        if invocation.incarnation <= kills {
                            return InvocationOutcome::Killed("with the answer".to_string());
                        }
                        for _ in 0..2 {
                            let children = (1..=CHILDREN).map(TaskId).collect();
                            let said = link.send(request(&invocation, last + 1, Call::WaitAll(children))).await;
                            let Reply::Answer(answer) = said else {
                                panic!("{said:?}")
                            };
                            look(&answer, &*store).await;
                        }
                        link.send(request(&invocation, last + 2, exit(b"all"))).await;
                    }
                }
                InvocationOutcome::Returned
            }
        });
        let mut setup = setup(platform, Some(Arc::new(MemoryJournal::new())));
        setup.store = store;
        setup
    }

    #[tokio::test]
    async fn a_long_answer_goes_through_the_store_however_often_it_is_asked_for() {
        for kills in [0, 2] {
            let store = Arc::new(Forgetful::default());
            let setup = waits_for_many(store.clone(), kills);
            let coordinator = Coordinator::start(setup, root(vec![])).await.expect("start");
            let result = soon(coordinator.wait()).await.expect("a result");
            assert_eq!(&result[..], b"all");
            let emptied = async {
                while store.inner.usage().0 > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            soon(emptied).await;
        }
    }

    #[test]
    fn failures_and_short_values_make_an_answer_long_too() {
        let error = |text: usize| {
            crate::error::TaskError::new(TaskId(1), "f", crate::error::Failure::Returned("x".repeat(text)))
        };
        assert!(!super::is_long(&Answer::Results(vec![Err(error(100)); 100])));
        assert!(super::is_long(&Answer::Results(vec![Err(error(16_000)); 1100])));
        assert!(super::is_long(&Answer::Results(vec![
            Ok(Payload::Inline(Bytes::new()));
            3 << 20
        ])));
    }
}
