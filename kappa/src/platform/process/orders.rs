//! Worker processes that carry out orders of coordinators elsewhere.
//!
//! Guarantees what the platform guarantees: one order at a time in each process, `SIGKILL` at the time limit and when the order is given up, a
//! memory limit by the kernel, and an outcome for everything that can become of a process.

use super::message::{self, Configuration, FromWorker, ToWorker};
use super::pool::{Busy, Pool};
use super::{ProcessOptions, configure, start_limit, worker};
use crate::platform::PlatformError;
use crate::platform::remote::{End, Order, Report};
use crate::protocol::InvocationOutcome;
use std::io;
use std::time::{Duration, Instant};

/// How long after its time limit a worker is killed: it should have left before.
const LATE: Duration = Duration::from_millis(50);

/// The worker processes.
pub(crate) struct OrderPool {
    pool: Pool,
}

/// Why an order is not carried out now; it may be at another time.
#[derive(Debug)]
pub(crate) struct NoRoom(pub(crate) String);

impl OrderPool {
    /// Processes of `options.program`, which open the store of each order.
    pub(crate) fn new(mut options: ProcessOptions) -> Result<Self, PlatformError> {
        if worker::is_worker() {
            return Err(PlatformError::WithinWorker);
        }
        options.workers = options.workers.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        let configuration = Configuration {
            store: "memory:".into(),
            memory_limit: options.memory_limit,
            threads: options.threads.max(1),
            message_limit: options.message_limit,
        };
        let pool = Pool::new(&options, configuration).map_err(|cause| PlatformError::Unavailable(cause.to_string()))?;
        Ok(OrderPool { pool })
    }

    /// Carries out an order. Dropping this kills the worker.
    pub(crate) async fn carry_out(&self, order: Order) -> Result<Report, NoRoom> {
        let started = Instant::now();
        let end = match self.run(order).await {
            Ok(report) => return Ok(report),
            Err(InvocationOutcome::Throttled(reason)) => return Err(NoRoom(reason)),
            Err(InvocationOutcome::Crashed(message)) => End::Broken(message),
            Err(InvocationOutcome::OutOfMemory(message)) => End::OutOfMemory(message),
            Err(InvocationOutcome::Unstartable(message)) => End::Unusable(message),
            Err(InvocationOutcome::Killed(message)) => End::Killed(message),
            Err(InvocationOutcome::TimedOut) => End::OutOfTime,
            Err(InvocationOutcome::StoreAway(cause)) => End::StoreAway(cause),
            Err(InvocationOutcome::WrongProgram(cause)) => End::WrongProgram(cause),
            Err(InvocationOutcome::NeedsRepair(cause)) => End::NeedsRepair(cause),
            // Only a report says so.
            Err(InvocationOutcome::Returned | InvocationOutcome::Unlinked(_)) => End::Broken("no report".into()),
        };
        Ok(Report::short(end, started.elapsed()))
    }

    /// The worker's report, or what became of the worker.
    async fn run(&self, order: Order) -> Result<Report, InvocationOutcome> {
        let mut busy = self.pool.take().await?;
        let configuration = self.pool.configuration();
        let unreachable = |cause| InvocationOutcome::Throttled(format!("cannot talk to a worker process: {cause}"));
        let mut socket = busy.socket().map_err(unreachable)?;
        if busy.is_new {
            let limit = start_limit(configuration.memory_limit);
            match tokio::time::timeout(limit, configure(&mut socket, configuration)).await {
                Ok(Ok(Some(FromWorker::Ready))) => busy.is_new = false,
                Ok(Ok(Some(FromWorker::Unusable(cause)))) => return Err(InvocationOutcome::Unstartable(cause)),
                Ok(Ok(Some(FromWorker::NeedsRepair(cause)))) => return Err(InvocationOutcome::NeedsRepair(cause)),
                Ok(_) => {
                    let death = busy.autopsy().await;
                    let too_little = self.pool.too_little_memory(&death);
                    return Err(too_little.unwrap_or_else(|| death.outcome()));
                }
                Err(_) if configuration.memory_limit.is_some() => {
                    return Err(self.pool.never_served(busy.autopsy().await));
                }
                Err(_) => return Err(InvocationOutcome::Killed("it did not serve within a minute".into())),
            }
        }
        let limit = order
            .time_limit
            .map_or(Duration::MAX, |limit| limit.saturating_add(LATE));
        match tokio::time::timeout(limit, exchange(&mut socket, order, configuration.message_limit)).await {
            Err(_) => Err(InvocationOutcome::TimedOut),
            Ok(Ok(Some(report))) => {
                self.release(busy, &report);
                Ok(report)
            }
            Ok(Err(cause)) if cause.kind() == io::ErrorKind::InvalidData => Err(InvocationOutcome::Crashed(format!(
                "the worker process sent nonsense: {cause}"
            ))),
            Ok(Ok(None) | Err(_)) => Err(busy.autopsy().await.outcome()),
        }
    }

    /// One whose task broke is not used again: who knows what it has left behind.
    fn release(&self, busy: Busy, report: &Report) {
        if !report.is_of_a_broken_program() {
            busy.release();
        }
    }

    /// Ends the processes, and returns when they are gone.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// The report, or `None` if the worker is gone.
async fn exchange(socket: &mut tokio::net::UnixStream, order: Order, limit: usize) -> io::Result<Option<Report>> {
    let frame = message::encode(&ToWorker::Order(Box::new(order)), limit)?;
    let frame = frame.map_err(|too_long| io::Error::new(io::ErrorKind::InvalidData, too_long.to_string()))?;
    message::write(socket, &frame).await?;
    match message::read::<FromWorker>(socket, limit).await? {
        Some(FromWorker::Report(report)) => Ok(Some(*report)),
        None => Ok(None),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "something else than a report",
        )),
    }
}
