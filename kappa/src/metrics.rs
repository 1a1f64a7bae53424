//! What happens in all runs of a process, in numbers, as Prometheus reads them.
//!
//! | metric | labels | meaning |
//! |---|---|---|
//! | `kappa_runs_over_total` | `outcome` | runs that ended here: `ended`, `failed`, `cancelled`, `interrupted` |
//! | `kappa_tasks_spawned_total` | `function` | tasks created |
//! | `kappa_tasks_ended_total` | `function`, `outcome` | tasks ended: `ok`, `failed`, `cancelled` |
//! | `kappa_invocations_started_total` | `function` | invocations handed to the platform |
//! | `kappa_invocations_ended_total` | `function`, `outcome` | their ends: `returned`, `crashed`, `killed`, `timed_out`, `out_of_memory`, `throttled`, `store_away`, `wrong_program`, `unstartable` |
//! | `kappa_invocations_running` | | invocations that the platform has now |
//! | `kappa_invocation_seconds` | `function` | histogram: how long invocations ran |
//! | `kappa_checkpoints_total` | `function` | committed calls, each of which is a checkpoint |
//! | `kappa_checkpoint_bytes` | `function` | histogram: lengths of their continuations |
//! | `kappa_suspended_total` | `function` | invocations sent away because their task had to wait |
//! | `kappa_retries_total` | `function` | invocations that had to be tried again |
//! | `kappa_tasks_waiting` | | tasks that wait now |
//! | `kappa_wait_seconds` | `function` | histogram: how long tasks waited |
//! | `kappa_recoveries_total` | | coordinators that came back |
//! | `kappa_store_operations_total` | `operation`, `by` | what was asked of the store: `put`, `get`, `get_range`, `delete`, `delete_prefix`; by the `worker`s or the `coordinator` |
//! | `kappa_store_bytes_total` | `direction`, `by` | bytes `up` into the store and `down` from it |
//!
//! A program's own registry can take them over ([`Metrics::register`]), or they are served alone ([`Metrics::serve`], `--metrics` on the command line).
//!
//! Besides, runs can be followed by `tracing`, in spans of the target `kappa` and the level INFO: `run` (field `run`) ⊃ `task` (`task`, `function`, `name`) ⊃ `invocation`
//! (`task`, `incarnation`, `function`, `resumes_after`: the number of the checkpoint).

use crate::Failure;
use crate::coordinator::state::{Observation, RunEvent, RunStats};
use crate::ids::{Incarnation, RunId, TaskId};
use crate::protocol::InvocationOutcome;
use crate::runtime::{Observer, RunEnd};
use crate::usage::Operations;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;

/// What OpenMetrics calls itself.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfFunction {
    function: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfFunctionAndOutcome {
    function: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfOperation {
    operation: &'static str,
    by: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfDirection {
    direction: &'static str,
    by: &'static str,
}

const WORKER: &str = "worker";
const COORDINATOR: &str = "coordinator";

type Histograms = Family<OfFunction, Histogram, fn() -> Histogram>;

/// The metrics. A clone counts into the same numbers.
#[derive(Clone)]
pub struct Metrics {
    runs_over: Family<OfOutcome, Counter>,
    tasks_spawned: Family<OfFunction, Counter>,
    tasks_ended: Family<OfFunctionAndOutcome, Counter>,
    invocations_started: Family<OfFunction, Counter>,
    invocations_ended: Family<OfFunctionAndOutcome, Counter>,
    invocations_running: Gauge,
    invocation_seconds: Histograms,
    checkpoints: Family<OfFunction, Counter>,
    checkpoint_bytes: Histograms,
    suspended: Family<OfFunction, Counter>,
    retries: Family<OfFunction, Counter>,
    tasks_waiting: Gauge,
    wait_seconds: Histograms,
    recoveries: Counter,
    store_operations: Family<OfOperation, Counter>,
    store_bytes: Family<OfDirection, Counter>,
    going_on: Arc<Mutex<HashMap<RunId, GoingOn>>>,
}

/// What has begun in a run and not ended, so that it can be measured.
#[derive(Default)]
struct GoingOn {
    functions: HashMap<TaskId, Arc<str>>,
    /// One text per function.
    names: HashMap<String, Arc<str>>,
    invocations: HashMap<(TaskId, Incarnation), u64>,
    waits: HashMap<TaskId, u64>,
    /// What the coordinator has done in the store, as far as events have told.
    coordinator: Operations,
}

/// From a millisecond to two hours.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 3.0, 15))
}

/// From 64 bytes to 256 MiB.
fn bytes() -> Histogram {
    Histogram::new(exponential_buckets(64.0, 4.0, 12))
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            runs_over: Family::default(),
            tasks_spawned: Family::default(),
            tasks_ended: Family::default(),
            invocations_started: Family::default(),
            invocations_ended: Family::default(),
            invocations_running: Gauge::default(),
            invocation_seconds: Family::new_with_constructor(seconds),
            checkpoints: Family::default(),
            checkpoint_bytes: Family::new_with_constructor(bytes),
            suspended: Family::default(),
            retries: Family::default(),
            tasks_waiting: Gauge::default(),
            wait_seconds: Family::new_with_constructor(seconds),
            recoveries: Counter::default(),
            store_operations: Family::default(),
            store_bytes: Family::default(),
            going_on: Arc::default(),
        }
    }
}

impl Metrics {
    /// Enters them into a registry, under names that begin with `kappa_`.
    pub fn register(&self, registry: &mut Registry) {
        let kappa = registry.sub_registry_with_prefix("kappa");
        kappa.register("runs_over", "Runs that ended in this process", self.runs_over.clone());
        kappa.register("tasks_spawned", "Tasks created", self.tasks_spawned.clone());
        kappa.register("tasks_ended", "Tasks ended", self.tasks_ended.clone());
        let started = self.invocations_started.clone();
        kappa.register("invocations_started", "Invocations handed to the platform", started);
        let ended = self.invocations_ended.clone();
        kappa.register("invocations_ended", "Invocations that the platform saw end", ended);
        let running = self.invocations_running.clone();
        kappa.register("invocations_running", "Invocations that the platform has now", running);
        let seconds = self.invocation_seconds.clone();
        kappa.register("invocation_seconds", "How long invocations ran", seconds);
        let checkpoints = self.checkpoints.clone();
        kappa.register(
            "checkpoints",
            "Committed calls, each of which is a checkpoint",
            checkpoints,
        );
        let bytes = self.checkpoint_bytes.clone();
        kappa.register("checkpoint_bytes", "Lengths of the checkpoints' continuations", bytes);
        let suspended = self.suspended.clone();
        kappa.register(
            "suspended",
            "Invocations sent away because their task had to wait",
            suspended,
        );
        kappa.register(
            "retries",
            "Invocations that had to be tried again",
            self.retries.clone(),
        );
        kappa.register("tasks_waiting", "Tasks that wait now", self.tasks_waiting.clone());
        kappa.register("wait_seconds", "How long tasks waited", self.wait_seconds.clone());
        kappa.register("recoveries", "Coordinators that came back", self.recoveries.clone());
        let operations = self.store_operations.clone();
        kappa.register("store_operations", "What was asked of the store", operations);
        let bytes = self.store_bytes.clone();
        kappa.register("store_bytes", "Bytes into the store and from it", bytes);
    }

    /// Serves them, and nothing else, at `/metrics` of this address, until the runtime ends or the returned task is aborted. Gives the address, which
    /// has the port that the system chose if 0 was asked for.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn serve(&self, address: SocketAddr) -> io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
        let mut registry = Registry::default();
        self.register(&mut registry);
        let registry = Arc::new(registry);
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let metrics = get(move || async move {
            let mut text = String::new();
            // Writing into a string cannot fail.
            let _ = encode(&mut text, &registry);
            ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response()
        });
        let router = Router::new().route("/metrics", metrics);
        let serving = tokio::spawn(async move {
            if let Err(cause) = axum::serve(listener, router).await {
                tracing::warn!(%cause, "the metrics are not served any more");
            }
        });
        Ok((address, serving))
    }

    fn happened(&self, going_on: &mut GoingOn, observation: &Observation) {
        let at = observation.at.0;
        match &observation.event {
            RunEvent::TaskSpawned { task, function, .. } => {
                let function = going_on.name(function);
                going_on.functions.insert(*task, function.clone());
                self.tasks_spawned.get_or_create(&OfFunction { function }).inc();
            }
            RunEvent::InvocationStarted { task, incarnation } => {
                going_on.invocations.insert((*task, *incarnation), at);
                self.invocations_running.inc();
                self.invocations_started.get_or_create(&going_on.of(*task)).inc();
            }
            RunEvent::Checkpoint { task, bytes, .. } => {
                let function = going_on.of(*task);
                self.checkpoints.get_or_create(&function).inc();
                self.checkpoint_bytes.get_or_create(&function).observe(*bytes as f64);
            }
            RunEvent::Blocked { task, .. } => {
                let is_new = going_on.waits.insert(*task, at).is_none();
                self.tasks_waiting.inc_by(i64::from(is_new));
            }
            RunEvent::Unblocked { task } => self.waited(going_on, *task, at),
            RunEvent::Suspended { task } => {
                self.suspended.get_or_create(&going_on.of(*task)).inc();
            }
            RunEvent::InvocationEnded {
                task,
                incarnation,
                outcome,
                spent,
            } => {
                let usage = spent.invocation.unwrap_or_default();
                self.asked_of_store(usage.store, WORKER);
                self.asked_of_store(spent.coordinator, COORDINATOR);
                let function = going_on.of(*task);
                if let Some(started) = going_on.invocations.remove(&(*task, *incarnation)) {
                    self.invocations_running.dec();
                    let seconds = at.saturating_sub(started) as f64 / 1e6;
                    self.invocation_seconds.get_or_create(&function).observe(seconds);
                }
                let ended = OfFunctionAndOutcome {
                    function: function.function,
                    outcome: word(outcome),
                };
                self.invocations_ended.get_or_create(&ended).inc();
            }
            RunEvent::Retried { task, .. } => {
                self.retries.get_or_create(&going_on.of(*task)).inc();
            }
            RunEvent::TaskEnded { task, error } => {
                self.waited(going_on, *task, at);
                let ended = OfFunctionAndOutcome {
                    function: going_on.of(*task).function,
                    outcome: match error.as_ref().map(|error| &error.kind) {
                        None => "ok",
                        Some(Failure::Cancelled) => "cancelled",
                        Some(_) => "failed",
                    },
                };
                self.tasks_ended.get_or_create(&ended).inc();
            }
            RunEvent::Recovered => {
                self.recoveries.inc();
            }
            _ => {}
        }
    }

    fn asked_of_store(&self, operations: Operations, by: &'static str) {
        let Operations {
            puts,
            gets,
            ranges,
            deletes,
            lists,
            bytes_up,
            bytes_down,
        } = operations;
        let kinds = [
            ("put", puts),
            ("get", gets),
            ("get_range", ranges),
            ("delete", deletes),
            ("delete_prefix", lists),
        ];
        for (operation, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            self.store_operations
                .get_or_create(&OfOperation { operation, by })
                .inc_by(count);
        }
        for (direction, bytes) in [("up", bytes_up), ("down", bytes_down)] {
            if bytes > 0 {
                self.store_bytes
                    .get_or_create(&OfDirection { direction, by })
                    .inc_by(bytes);
            }
        }
    }

    fn waited(&self, going_on: &mut GoingOn, task: TaskId, at: u64) {
        if let Some(since) = going_on.waits.remove(&task) {
            self.tasks_waiting.dec();
            let seconds = at.saturating_sub(since) as f64 / 1e6;
            self.wait_seconds.get_or_create(&going_on.of(task)).observe(seconds);
        }
    }
}

impl GoingOn {
    fn name(&mut self, function: &str) -> Arc<str> {
        if let Some(name) = self.names.get(function) {
            return name.clone();
        }
        let name: Arc<str> = function.into();
        self.names.insert(function.to_string(), name.clone());
        name
    }

    fn of(&self, task: TaskId) -> OfFunction {
        let function = self.functions.get(&task).cloned();
        OfFunction {
            function: function.unwrap_or_else(|| "".into()),
        }
    }
}

impl Observer for Metrics {
    fn observe(&self, run: RunId, happened: &[Observation], stats: &RunStats) {
        let mut all = self.going_on.lock();
        let going_on = all.entry(run).or_default();
        for observation in happened {
            self.happened(going_on, observation);
        }
        going_on.coordinator = stats.used.coordinator;
    }

    /// Nothing of it is counted again; only the tasks' functions are needed, and who waits.
    fn observe_again(&self, run: RunId, happened: &[Observation]) {
        let mut all = self.going_on.lock();
        let going_on = all.entry(run).or_default();
        for observation in happened {
            if let RunEvent::TaskSpawned { task, function, .. } = &observation.event {
                let function = going_on.name(function);
                going_on.functions.insert(*task, function);
            }
        }
    }

    fn over(&self, run: RunId, end: &RunEnd, stats: &RunStats) {
        if let Some(going_on) = self.going_on.lock().remove(&run) {
            // What no event has told any more.
            let rest = stats.used.coordinator.minus(going_on.coordinator);
            self.asked_of_store(rest, COORDINATOR);
            self.invocations_running.dec_by(going_on.invocations.len() as i64);
            self.tasks_waiting.dec_by(going_on.waits.len() as i64);
        }
        let outcome = match end {
            RunEnd::Ended => "ended",
            RunEnd::Failed(_) => "failed",
            RunEnd::Cancelled => "cancelled",
            RunEnd::Interrupted(_) => "interrupted",
        };
        self.runs_over.get_or_create(&OfOutcome { outcome }).inc();
    }
}

/// An outcome as a label.
fn word(outcome: &InvocationOutcome) -> &'static str {
    match outcome {
        InvocationOutcome::Returned => "returned",
        InvocationOutcome::Crashed(_) => "crashed",
        InvocationOutcome::Killed(_) => "killed",
        InvocationOutcome::TimedOut => "timed_out",
        InvocationOutcome::OutOfMemory(_) => "out_of_memory",
        InvocationOutcome::Throttled(_) => "throttled",
        InvocationOutcome::Unstartable(_) => "unstartable",
        InvocationOutcome::Unlinked(_) => "unlinked",
        InvocationOutcome::StoreAway(_) => "store_away",
        InvocationOutcome::WrongProgram(_) => "wrong_program",
        InvocationOutcome::NeedsRepair(_) => "needs_repair",
    }
}

/// Reads an address for [`Metrics::serve`]: `9100`, `:9100` or `HOST:9100`. Without a host it is this machine alone.
///
/// # Errors
/// What is wrong, and what could be written.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    let text = text.replace("localhost:", "127.0.0.1:");
    text.parse()
        .map_err(|_| "write a port, for example `9100` (this machine alone), or an address and a port, for example `0.0.0.0:9100`".to_string())
}
