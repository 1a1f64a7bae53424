//! A run that is going on.

use super::{Kappa, Record, RunError, RunEvent, RunStats};
use crate::continuation::read_all;
use crate::coordinator::driver::Coordinator;
use crate::ids::RunId;
use crate::link::Link;
use crate::record::cost::{Cost, Prices, Terms};
use crate::usage::Operations;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// How long the end of a run waits for its record to be complete.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);

/// A run that is going on, whose result has type `V`. Dropping it stops the run.
pub struct RunHandle<V> {
    coordinator: Coordinator,
    record: Record,
    /// Keeps platform and runtime alive.
    kappa: Kappa,
    value: PhantomData<fn() -> V>,
}

/// The value of a run whose type is not known.
#[derive(Debug)]
pub enum Undecoded {}

impl<V> RunHandle<V> {
    pub(super) fn new(coordinator: Coordinator, record: Record, kappa: Kappa) -> Self {
        if let Ok(Some(record)) = &record {
            record.on_cancel(coordinator.canceller());
        }
        RunHandle {
            coordinator,
            record,
            kappa,
            value: PhantomData,
        }
    }

    /// The run's id, to resume it by.
    pub fn id(&self) -> RunId {
        self.coordinator.run()
    }

    /// What happens from now on. A watcher that is thousands of events behind misses some, and is told how many.
    pub fn events(&self) -> broadcast::Receiver<RunEvent> {
        self.coordinator.events()
    }

    /// What has happened so far, in numbers.
    pub fn stats(&self) -> RunStats {
        self.coordinator.stats()
    }

    /// What it costs on functions, or would have cost, so far: by AWS's public prices.
    pub fn cost(&self) -> Cost {
        let kappa = &self.kappa.inner;
        let terms = Terms::of(&kappa.platform.name(), &kappa.store.url());
        Cost::of(&self.stats().used, terms, Prices::default())
    }

    /// Adds what was done in the store for this run outside of it, so that it counts too: what was put there before it was started, for example.
    pub fn count(&self, operations: Operations) {
        self.coordinator.count(operations);
    }

    /// How workers in this process reach the run's coordinator.
    pub fn link(&self) -> Arc<dyn Link> {
        self.coordinator.link()
    }

    /// Ends the run with all its tasks; it fails with [`Failure::Cancelled`](crate::Failure::Cancelled) and cannot be resumed.
    pub fn cancel(&self) {
        self.coordinator.cancel();
    }

    /// Stops working on the run, and returns when nothing of it is running in this process any more. With a state directory it can be resumed.
    pub async fn interrupt(&self) {
        self.coordinator.interrupt().await;
        self.complete_record().await;
    }

    /// Why the run's record is not complete, if so. The run itself does not depend on it.
    pub fn record_trouble(&self) -> Option<String> {
        match &self.record {
            Ok(record) => record.as_ref()?.trouble(),
            Err(trouble) => Some(trouble.clone()),
        }
    }

    async fn complete_record(&self) {
        if let Ok(Some(record)) = &self.record {
            // A disk that does not answer must not keep the result from whoever waits for it.
            let _ = tokio::time::timeout(RECORD_PATIENCE, record.finished()).await;
        }
    }

    /// The result as `postcard`.
    ///
    /// # Errors
    /// If the run failed, or was stopped.
    pub async fn wait_bytes(&self) -> Result<Bytes, RunError> {
        let outcome = self.coordinator.wait().await;
        self.complete_record().await;
        outcome
    }
}

impl<V: DeserializeOwned + 'static> RunHandle<V> {
    /// The result. May be asked any number of times.
    ///
    /// # Errors
    /// If the run failed, or was stopped, or its result is of another type.
    pub async fn wait(&self) -> Result<V, RunError> {
        let bytes = self.wait_bytes().await?;
        read_all(&bytes).map_err(|cause| RunError::Undecodable {
            run: self.id(),
            expected: type_name::<V>(),
            cause,
        })
    }
}
