//! The platform's side: from an invocation to an order, from a report to an outcome.

use super::message::{End, Order, Part, Report, Usage, decode, encode, program};
use crate::ids::{Incarnation, RunId, TaskId};
use crate::link::Link;
use crate::link::http::{Access, Opened};
use crate::protocol::{Invocation, InvocationOutcome, Request};
use crate::store::Store;
use crate::usage;
use std::sync::Arc;

/// Folder, among the objects of a run, of what was too long for a message.
fn folder(run: RunId) -> String {
    format!("{}/messages", run.objects())
}

/// Writes orders and reads reports, for a platform that carries messages of at most so many bytes.
pub(crate) struct Orders {
    store: Arc<dyn Store>,
    order_limit: usize,
    report_limit: usize,
}

/// An order as it is sent.
pub(crate) struct Written {
    /// The message.
    pub(crate) bytes: Vec<u8>,
    run: RunId,
    invoked: (TaskId, Incarnation),
    stored: Option<String>,
}

impl Orders {
    /// For workers that open this store by its URL. Limits are in bytes.
    pub(crate) fn new(store: Arc<dyn Store>, order_limit: usize, report_limit: usize) -> Self {
        Orders {
            store,
            order_limit,
            report_limit,
        }
    }

    /// Longest report in bytes.
    pub(crate) fn report_limit(&self) -> usize {
        self.report_limit
    }

    /// The order for an invocation; if it is too long, the invocation goes into the store.
    pub(crate) async fn write(
        &self,
        invocation: Invocation,
        access: Option<Access>,
    ) -> Result<Written, InvocationOutcome> {
        let (run, invoked) = (invocation.run, (invocation.task, invocation.incarnation));
        let unsendable = |cause: String| InvocationOutcome::Unstartable(format!("its order cannot be sent: {cause}"));
        let time_limit = invocation.time_limit;
        let mut order = Order {
            program: program(),
            invocation: Part::Here(invocation),
            access,
            store: self.store.url(),
            report_limit: self.report_limit as u64,
            time_limit,
        };
        let mut bytes = encode(&order).map_err(unsendable)?;
        if bytes.len() > self.order_limit
            && let Part::Here(invocation) = &order.invocation
        {
            let stored = Part::store(invocation, &folder(run), &*self.store).await;
            order.invocation = stored.map_err(|cause| match cause.needs_repair() {
                true => InvocationOutcome::NeedsRepair(format!("its order cannot be stored: {cause}")),
                // The store may be well again at the next attempt.
                false => InvocationOutcome::StoreAway(format!("its order cannot be stored: {cause}")),
            })?;
            bytes = encode(&order).map_err(unsendable)?;
        }
        if bytes.len() > self.order_limit {
            let (length, limit) = (bytes.len(), self.order_limit);
            let cause = format!("{length} bytes are more than the {limit} bytes that the platform carries");
            return Err(unsendable(cause));
        }
        Ok(Written {
            bytes,
            run,
            invoked,
            stored: order.invocation.key().map(str::to_string),
        })
    }

    /// What a report says; what the invocation used is told to its link. `opened` is what the worker has been given access to.
    pub(crate) async fn read(
        &self,
        written: &Written,
        report: &[u8],
        link: &dyn Link,
        opened: Option<&Opened>,
    ) -> InvocationOutcome {
        let Report { end, usage, delivery } = match decode(report) {
            Ok(report) => report,
            Err(cause) => return InvocationOutcome::Crashed(format!("the worker's report: {cause}")),
        };
        let Usage { time, is_cold, store } = usage;
        link.used(usage::Usage::new(time, store));
        tracing::debug!(task = %written.invoked.0, ?time, is_cold, "a worker reports");
        let key = end.key().map(str::to_string);
        match end.open(&folder(written.run), &*self.store).await {
            Ok(end) => {
                if let Some(key) = key {
                    self.delete(&key).await;
                }
                match opened.is_none_or(|opened| is_heard(&end, delivery.as_deref(), opened)) {
                    true => outcome(end, written.invoked),
                    false => InvocationOutcome::Killed("another worker was given the same order, and is heard".into()),
                }
            }
            Err(cause) => {
                let reason = format!("the worker's report is lost: {cause}");
                match () {
                    () if cause.is_store_away() => InvocationOutcome::StoreAway(reason),
                    () if cause.needs_repair() => InvocationOutcome::NeedsRepair(reason),
                    () => InvocationOutcome::Killed(reason),
                }
            }
        }
    }

    /// Forgets an order that nobody will read any more. One that is given up without this is deleted with everything else at the run's end.
    pub(crate) async fn forget(&self, written: Written) {
        if let Some(key) = written.stored {
            self.delete(&key).await;
        }
    }

    async fn delete(&self, key: &str) {
        if let Err(cause) = self.store.delete(key).await {
            tracing::warn!(%cause, "a message that was read stays for now");
        }
    }
}

/// Whether the worker that ended so is the one that is heard. If it is, no other will be: a request that it left with may follow calls of its own that
/// the coordinator has not heard, so that beside another's calls it would not be recognised as a duplicate.
fn is_heard(end: &End, delivery: Option<&str>, opened: &Opened) -> bool {
    match delivery {
        Some(delivery) => opened.claims(delivery.as_bytes()),
        // Said by whoever looks after workers, or by one that never got as far as a call.
        None => !matches!(end, End::Unlinked(_)),
    }
}

fn outcome(end: End, invoked: (TaskId, Incarnation)) -> InvocationOutcome {
    let is_own = |request: &Request| (request.task, request.incarnation) == invoked;
    match end {
        End::Returned => InvocationOutcome::Returned,
        End::OutOfTime => InvocationOutcome::TimedOut,
        End::Broken(message) => InvocationOutcome::Crashed(message),
        End::OutOfMemory(message) => InvocationOutcome::OutOfMemory(message),
        End::Killed(message) => InvocationOutcome::Killed(message),
        End::StoreAway(cause) => InvocationOutcome::StoreAway(cause),
        End::WrongProgram(cause) => InvocationOutcome::WrongProgram(cause),
        End::NeedsRepair(cause) => InvocationOutcome::NeedsRepair(cause),
        End::Unlinked(request) if is_own(&request) => InvocationOutcome::Unlinked(request),
        End::Unlinked(_) => InvocationOutcome::Crashed("the worker left with a request in another task's name".into()),
        End::Unusable(message) => InvocationOutcome::Unstartable(message),
    }
}

/// A report that fits: what is too long goes into the store, or is cut if it is only for people.
pub(super) async fn fitting(whole: Report, run: RunId, limit: u64, store: &dyn Store) -> Report {
    if encode(&whole).is_ok_and(|bytes| bytes.len() as u64 <= limit) {
        return whole;
    }
    let Report { end, usage, delivery } = whole;
    let report = |end| Report { end, usage, delivery };
    let end = match end {
        Part::Here(end) => end,
        stored @ Part::Stored { .. } => return report(stored),
    };
    let cut = |text: String| shortened(&text, limit);
    let end = match end {
        End::Unlinked(_) => match Part::store(&end, &folder(run), store).await {
            Ok(stored) => return report(stored),
            Err(cause) => {
                let reason = cut(format!("the request that it left with cannot be stored: {cause}"));
                match cause.needs_repair() {
                    true => End::NeedsRepair(reason),
                    false => End::Killed(reason),
                }
            }
        },
        End::Broken(message) => End::Broken(cut(message)),
        End::OutOfMemory(message) => End::OutOfMemory(cut(message)),
        End::Killed(message) => End::Killed(cut(message)),
        End::StoreAway(cause) => End::StoreAway(cut(cause)),
        End::WrongProgram(cause) => End::WrongProgram(cut(cause)),
        End::NeedsRepair(cause) => End::NeedsRepair(cut(cause)),
        End::Unusable(message) => End::Unusable(cut(message)),
        End::Returned | End::OutOfTime => end,
    };
    report(Part::Here(end))
}

/// The beginning of a message, with room for the rest of the report.
fn shortened(message: &str, limit: u64) -> String {
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(150);
    let mut end = room.min(message.len());
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ... ({} bytes in all)", &message[..end], message.len())
}

/// The folder in which a worker looks for an order's parts: any run's, since the order says which.
pub(super) const ANY_RUN: &str = "runs";
