//! Answers that are too long for one message.
//!
//! Guarantees that what a worker is sent at once carries at most [`MOST_INLINE`] bytes of values itself, however many tasks it has waited for: of a longer
//! answer all but the short values go through the store, as long values do, and are deleted when the invocation that they were for is over. The state and the
//! journal know nothing of it: whoever is answered again is answered from the state.

use super::{Key, Shared};
use crate::ids::Sequence;
use crate::protocol::{Answer, Invocation, InvocationOutcome, Payload, Reply, Start};
use crate::store::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use std::time::Duration;

/// Bytes of values in one answer: small beside the memory of the smallest worker, and beside what any link carries.
const MOST_INLINE: usize = 16 << 20;

/// Values up to this many bytes are left where they are: a million of them are bounded, too, and each object costs a round trip.
const SHORT: usize = 1 << 10;

/// How many objects are written at once.
const AT_ONCE: usize = 32;

/// How long the store is left alone after it has failed, at first and at most.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether an answer has to be made shorter.
fn is_long(answer: &Answer) -> bool {
    let Answer::Results(results) = answer else { return false };
    let inline = |payload: &Payload| match payload {
        Payload::Inline(bytes) => bytes.len(),
        Payload::Stored { .. } => 0,
    };
    results.iter().flatten().map(inline).sum::<usize>() > MOST_INLINE
}

/// Brings all but the short values into the store, below this prefix.
async fn shortened(answer: &Answer, prefix: &str, store: &dyn Store) -> Result<Answer, StoreError> {
    let Answer::Results(results) = answer else {
        return Ok(answer.clone());
    };
    let stored = results.clone().into_iter().enumerate().map(|(at, result)| async move {
        Ok(match result {
            Ok(Payload::Inline(bytes)) if bytes.len() > SHORT => {
                let (key, length) = (format!("{prefix}-{at}"), bytes.len() as u64);
                store.put(&key, bytes).await?;
                Ok(Payload::Stored { key, length })
            }
            other => other,
        })
    });
    Ok(Answer::Results(
        stream::iter(stored).buffered(AT_ONCE).try_collect().await?,
    ))
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

    /// Makes a reply short enough. A store that fails is asked again, as long as somebody waits.
    pub(super) async fn short_reply(&self, key: Key, sequence: Sequence, reply: Reply) -> Reply {
        let answer = match reply {
            Reply::Answer(answer) if is_long(&answer) => answer,
            short => return short,
        };
        let mut pause = Duration::ZERO;
        loop {
            match self.shortened(key, sequence, &answer).await {
                Ok(answer) => return Reply::Answer(answer),
                Err(cause) => tracing::warn!(task = %key.0, %cause, "a long answer cannot be stored"),
            }
            pause = (pause * 2).clamp(PAUSE, LONGEST_PAUSE);
            self.setup.clock.sleep(pause).await;
            if !self.core.lock().invocations.contains_key(&key) {
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
        shortened(answer, &format!("{}/{sequence}", self.answers(key)), &*self.setup.store).await
    }
}

#[cfg(test)]
mod tests {
    use crate::coordinator::driver::tests::{Scripted, exit, request, root, setup, soon};
    use crate::coordinator::driver::{Coordinator, Setup};
    use crate::ids::TaskId;
    use crate::journal::MemoryJournal;
    use crate::protocol::{Answer, Call, InvocationOutcome, Payload, Reply, Start, TaskSpec};
    use crate::store::{Memory, Store};
    use bytes::Bytes;
    use std::sync::Arc;
    use std::time::Duration;

    const CHILDREN: u64 = 400;

    fn value(of: u64) -> Bytes {
        Bytes::from(vec![of as u8; 60 << 10])
    }

    /// Sees that all values are there, most of them in the store; gives how many.
    async fn values(answer: Answer, store: &dyn Store) -> usize {
        let Answer::Results(results) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(results.len() as u64, CHILDREN);
        let mut stored = 0;
        for (of, result) in (1..).zip(results) {
            let bytes = match result.expect("a value") {
                Payload::Inline(bytes) => bytes,
                Payload::Stored { key, length } => {
                    stored += 1;
                    let bytes = store.get(&key).await.expect("it is there");
                    assert_eq!(bytes.len() as u64, length);
                    bytes
                }
            };
            assert_eq!(bytes, value(of));
        }
        stored
    }

    /// A root that waits for children whose values are too long together, leaves, and is answered when it is back. `Setup` with the store.
    fn waits_for_many(is_killed_with_the_answer: bool) -> (Setup, Arc<Memory>) {
        let store = Arc::new(Memory::new());
        let its_store = store.clone();
        let platform = Scripted::new(8, move |invocation, link| {
            let store = its_store.clone();
            async move {
                let root = invocation.task == TaskId::ROOT;
                match &invocation.start {
                    Start::Begin(_) if root => {
                        let specs = (0..CHILDREN).map(|_| TaskSpec::new("child", Payload::Inline(Bytes::new())));
                        let spawned = link.send(request(&invocation, 1, Call::Spawn(specs.collect()))).await;
                        let Reply::Answer(Answer::Spawned(children)) = spawned else {
                            panic!("{spawned:?}")
                        };
                        match link.send(request(&invocation, 2, Call::WaitAll(children))).await {
                            Reply::Answer(answer) => assert!(values(answer, &*store).await > 0),
                            Reply::Suspend => return InvocationOutcome::Returned,
                            Reply::Fenced => return InvocationOutcome::Returned,
                        }
                    }
                    Start::Begin(_) => {
                        let value = Call::Exit(Ok(Payload::Inline(value(invocation.task.0))));
                        link.send(request(&invocation, 1, value)).await;
                        return InvocationOutcome::Returned;
                    }
                    Start::Resume { answer, .. } => {
                        assert!(values(answer.clone(), &*store).await > 0);
                        if is_killed_with_the_answer && invocation.incarnation < 3 {
                            return InvocationOutcome::Killed("with the answer".to_string());
                        }
                    }
                }
                link.send(request(&invocation, invocation.last_sequence + 1, exit(b"all")))
                    .await;
                InvocationOutcome::Returned
            }
        });
        let mut setup = setup(platform, Some(Arc::new(MemoryJournal::new())));
        setup.store = store.clone();
        (setup, store)
    }

    #[tokio::test]
    async fn an_answer_of_many_values_goes_through_the_store_however_often_its_reader_is_killed() {
        for is_killed in [false, true] {
            let (setup, store) = waits_for_many(is_killed);
            let coordinator = Coordinator::start(setup, root(vec![])).await.expect("start");
            let result = soon(coordinator.wait()).await.expect("a result");
            assert_eq!(&result[..], b"all");
            let emptied = async {
                while store.usage().0 > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            soon(emptied).await;
        }
    }
}
