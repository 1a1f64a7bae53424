//! The inside of a lambda: takes orders from Lambda's runtime API, one after the other, until the sandbox ends.
//!
//! A panic of a task is a report, and so is a time limit; both leave the sandbox as good as before. A panic of ours, and a task that cannot be
//! stopped, end the process: Lambda starts another. What is printed goes to the function's log.
//!
//! Between two orders the sandbox is frozen (a02): nothing is left running when a report is given.

use super::envelope::{Answered, Event, Response};
use super::failure::OUT_OF_TIME;
use crate::platform::remote::{Order, OrderWorker, decode, encode};
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use std::convert::Infallible;
use std::io::Write;
use std::process::exit;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where Lambda gives a program its orders; set in every sandbox, and nowhere else.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Stack of each thread in bytes: query plans are deep, and so is recursion through `cx.call`. Only what is touched takes room.
const STACK: usize = 32 << 20;

/// No lambda runs longer (developer guide, "Lambda quotas"), and clocks differ a little.
const LONGEST_INVOCATION: Duration = Duration::from_secs(15 * 60 + 30);

/// Exit code after a panic of ours, as Rust has it.
const PANICKED: i32 = 101;

/// Serves as a lambda and never returns, if this process was started by Lambda; otherwise does nothing.
pub(crate) fn serve_if_lambda() {
    if std::env::var_os(RUNTIME_API).is_none() {
        return;
    }
    // On a thread of its own, because `main` may be inside a runtime already (`#[tokio::main]`).
    let served = std::thread::Builder::new().name("kappa-lambda".into()).spawn(serve);
    match served.map(JoinHandle::join) {
        // Lambda has closed the connection: the sandbox ends.
        Ok(Ok(Ok(()))) => exit(0),
        Ok(Ok(Err(cause))) => fail(&cause.to_string()),
        // It has said so.
        Ok(Err(_)) => exit(PANICKED),
        Err(cause) => fail(&cause.to_string()),
    }
}

fn fail(cause: &str) -> ! {
    let _ = writeln!(std::io::stderr().lock(), "kappa lambda: {cause}");
    exit(1)
}

fn serve() -> Result<(), lambda_runtime::Error> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One more than a task that hogs its thread.
        .worker_threads(processors.max(2))
        .thread_stack_size(STACK)
        .thread_name("kappa-task")
        .enable_all()
        .build()?;
    let worker = Arc::new(OrderWorker::new());
    let handler = service_fn(move |event: LambdaEvent<Event>| {
        let worker = worker.clone();
        async move { Ok::<Response, Infallible>(answer(event, worker).await.response()) }
    });
    runtime.block_on(Runtime::new(handler).run())
}

async fn answer(event: LambdaEvent<Event>, worker: Arc<OrderWorker>) -> Answered {
    let order = match event.payload.open() {
        Ok(Some(order)) => order,
        Ok(None) => return Answered::hello(),
        Err(unusable) => return unusable,
    };
    let order: Order = match decode(&order) {
        Ok(order) => order,
        Err(cause) => return Answered::Unusable(cause.to_string()),
    };
    let deadline = plausible(event.context.deadline, SystemTime::now()).map(|left| Instant::now() + left);
    // On a task of its own, so that a panic in it is not taken for an answer.
    let report = match tokio::spawn(async move { worker.run_order(order, deadline).await }).await {
        Ok(Ok(report)) => report,
        Ok(Err(_stuck)) => {
            let _ = writeln!(std::io::stderr().lock(), "{OUT_OF_TIME}");
            exit(1)
        }
        Err(_) => exit(PANICKED),
    };
    match encode(&report) {
        Ok(report) => Answered::report(&report),
        Err(cause) => Answered::Unusable(format!("a report cannot be written: {cause}")),
    }
}

/// How long until this deadline, given in milliseconds since 1970; `None` if it makes no sense (a05).
fn plausible(deadline: u64, now: SystemTime) -> Option<Duration> {
    let deadline = UNIX_EPOCH.checked_add(Duration::from_millis(deadline))?;
    let left = deadline.duration_since(now).ok()?;
    (left <= LONGEST_INVOCATION).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a05_a_deadline_is_believed_only_if_it_is_plausible() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let at = |seconds: i64| (1_800_000_000_000 + seconds * 1000) as u64;
        assert_eq!(plausible(at(3), now), Some(Duration::from_secs(3)));
        assert_eq!(plausible(at(900), now), Some(Duration::from_secs(900)));
        for nonsense in [0, 3, at(-1), at(3600), 1_800_000_003, u64::MAX] {
            assert_eq!(plausible(nonsense, now), None, "{nonsense}");
        }
    }
}
