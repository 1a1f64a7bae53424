//! The worker's side: from an order to a report.

use super::message::{End, Order, Part, Report, Usage, other_program, program};
use super::orders::{ANY_RUN, fitting};
use crate::link::Link;
use crate::link::http::{HttpClient, Left};
use crate::protocol::{Invocation, Reply, Request};
use crate::store::Store;
use crate::store::counted::Counted;
use crate::usage::Operations;
use crate::worker::{WorkerEnd, run_invocation_until};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinError;

/// So many stores stay open.
const STORES: usize = 4;

/// The part of its time limit before whose end an invocation begins to leave, and the longest such time: a checkpoint fits into it.
const LAST_PART: u32 = 10;
const LONGEST_LEAVE: Duration = Duration::from_secs(5);

/// The same for the moment at which it is stopped wherever it is, so that its report arrives in time.
const REPORT_PART: u32 = 20;
const LONGEST_REPORT: Duration = Duration::from_secs(1);

/// How long a task may take to reach its next `.await` when it is stopped.
const LAST_BREATH: Duration = Duration::from_millis(200);

/// Carries out orders: what a worker keeps from one to the next.
pub(crate) struct OrderWorker {
    client: Arc<HttpClient>,
    /// The latest is the last.
    stores: Mutex<Vec<(String, Arc<dyn Store>)>>,
    has_served: AtomicBool,
}

/// The invocation's time is over and its task computes on without ever pausing. Nothing of it takes effect any more, but it can only be ended together with
/// its process, which should take no further order.
#[derive(Debug)]
pub(crate) struct Stuck;

/// When an invocation has to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    /// How long it runs at most.
    limit: Duration,
    /// From then on with its next call.
    leave_at: Instant,
    /// Even without one.
    stop_at: Instant,
}

impl Times {
    /// Whichever comes first; `None` without any limit.
    fn new(started: Instant, time_limit: Option<Duration>, deadline: Option<Instant>) -> Option<Self> {
        let until_deadline = deadline.map(|deadline| deadline.saturating_duration_since(started));
        let whole = [time_limit, until_deadline].into_iter().flatten().min()?;
        let limit = whole - (whole / REPORT_PART).min(LONGEST_REPORT);
        let leave = whole - (whole / LAST_PART).min(LONGEST_LEAVE);
        Some(Times {
            limit,
            leave_at: started.checked_add(leave)?,
            stop_at: started.checked_add(limit)?,
        })
    }
}

impl OrderWorker {
    pub(crate) fn new() -> Self {
        OrderWorker {
            client: Arc::new(HttpClient::new()),
            stores: Mutex::default(),
            has_served: AtomicBool::new(false),
        }
    }

    /// Carries out an order, and returns when nothing of it is left running. `deadline` is when the place where this runs would end it.
    pub(crate) async fn run_order(&self, order: Order, deadline: Option<Instant>) -> Result<Report, Stuck> {
        let started = Instant::now();
        let is_cold = !self.has_served.swap(true, Ordering::SeqCst);
        let Order {
            program: theirs,
            invocation,
            access,
            store,
            report_limit,
            time_limit: _,
        } = order;
        let report = |end, store| Report {
            end: Part::Here(end),
            usage: Usage {
                time: started.elapsed(),
                is_cold,
                store,
            },
            delivery: None,
        };
        let ours = program();
        if theirs != ours {
            let end = End::WrongProgram(other_program(&theirs, &ours));
            return Ok(report(end, Operations::default()));
        }
        let (store, counts) = match self.store(&store) {
            Ok(store) => Counted::over(store),
            Err(end) => return Ok(report(end, Operations::default())),
        };
        let mut invocation = match invocation.open(ANY_RUN, &*store).await {
            Ok(invocation) => invocation,
            Err(cause) => {
                let reason = format!("the order cannot be read: {cause}");
                let end = match () {
                    () if cause.is_store_away() => End::StoreAway(reason),
                    () if cause.needs_repair() => End::NeedsRepair(reason),
                    () => End::Killed(reason),
                };
                return Ok(report(end, counts.total()));
            }
        };
        let run = invocation.run;
        let times = Times::new(started, invocation.time_limit, deadline);
        invocation.time_limit = times.map(|times| times.limit);
        let way = match &access {
            Some(access) => self.client.link(&invocation, access).map(|(link, left)| {
                let delivery = link.delivery();
                let link: Arc<dyn Link> = link;
                (link, left, Some(delivery))
            }),
            None => {
                let (link, left) = Nowhere::link();
                Ok((link, left, None))
            }
        };
        let (end, delivery) = match way {
            Ok((link, left, delivery)) => {
                let end = run_until(invocation, link, left, store.clone(), times).await?;
                (end, delivery)
            }
            Err(cause) => (End::Unusable(cause.to_string()), None),
        };
        let whole = Report {
            delivery,
            ..report(end, counts.total())
        };
        Ok(fitting(whole, run, report_limit, &*store).await)
    }

    /// The store of this URL, open already or opened now.
    fn store(&self, url: &str) -> Result<Arc<dyn Store>, End> {
        let mut stores = self.stores.lock();
        if let Some(at) = stores.iter().position(|(known, _)| known == url) {
            let known = stores.remove(at);
            let store = known.1.clone();
            stores.push(known);
            return Ok(store);
        }
        let store = crate::store::open(url).map_err(|cause| match () {
            () if cause.is_retryable() => End::StoreAway(cause.to_string()),
            () if cause.needs_repair() => End::NeedsRepair(cause.to_string()),
            () => End::Unusable(cause.to_string()),
        })?;
        if !store.is_shared() {
            let cause = format!("a worker elsewhere cannot reach the store `{}`", store.url());
            return Err(End::Unusable(cause));
        }
        if stores.len() >= STORES {
            stores.remove(0);
        }
        stores.push((url.to_string(), store.clone()));
        Ok(store)
    }
}

/// Runs an invocation to its end; or until it cannot deliver a request, or its time is over. Nothing of it runs when this returns.
async fn run_until(
    invocation: Invocation,
    link: Arc<dyn Link>,
    mut left: oneshot::Receiver<Left>,
    store: Arc<dyn Store>,
    times: Option<Times>,
) -> Result<End, Stuck> {
    let leave_at = times.map(|times| times.leave_at);
    let running = tokio::spawn(run_invocation_until(invocation, link, store, leave_at));
    let mut running = Running(running);
    let over = async {
        match times {
            Some(times) => tokio::time::sleep_until(times.stop_at.into()).await,
            None => pending().await,
        }
    };
    let end = tokio::select! {
        biased;
        end = &mut running.0 => return Ok(ended(end)),
        Ok(left) = &mut left => match left {
            Left::Unlinked(request) => End::Unlinked(request),
            Left::Broken(reason) => End::Broken(reason),
        },
        () = over => End::OutOfTime,
    };
    running.0.abort();
    match tokio::time::timeout(LAST_BREATH, &mut running.0).await {
        Ok(_) => Ok(end),
        Err(_) => Err(Stuck),
    }
}

/// An invocation in progress; dropping it ends the invocation.
struct Running(tokio::task::JoinHandle<WorkerEnd>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn ended(end: Result<WorkerEnd, JoinError>) -> End {
    match end {
        Ok(WorkerEnd::Returned) => End::Returned,
        Ok(WorkerEnd::OutOfTime) => End::OutOfTime,
        Ok(WorkerEnd::Panicked(message)) => End::Broken(message),
        Ok(WorkerEnd::StoreAway(cause)) => End::StoreAway(cause),
        Ok(WorkerEnd::WrongProgram(cause)) => End::WrongProgram(cause),
        Ok(WorkerEnd::NeedsRepair(cause)) => End::NeedsRepair(cause),
        Err(cause) => End::Broken(cause.to_string()),
    }
}

/// The way of a worker that has none: it leaves with its first request.
struct Nowhere {
    leave: Mutex<Option<oneshot::Sender<Left>>>,
}

impl Nowhere {
    fn link() -> (Arc<dyn Link>, oneshot::Receiver<Left>) {
        let (leave, left) = oneshot::channel();
        let leave = Mutex::new(Some(leave));
        (Arc::new(Nowhere { leave }), left)
    }
}

#[async_trait]
impl Link for Nowhere {
    async fn send(&self, request: Request) -> Reply {
        let leave = self.leave.lock().take();
        if let Some(leave) = leave {
            // The receiver is gone only if the invocation has ended.
            let _ = leave.send(Left::Unlinked(Box::new(request)));
        }
        // Whoever runs the invocation drops it.
        pending().await
    }
}
