//! Somebody who watches the run, and is told what happens as the journal has it: in the same order, under the same numbers, nothing left out.

use super::World;
use kappa::ids::RunId;
use kappa::runtime::{Observation, Observer, RunEnd, RunStats};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Watches one life of the coordinator.
pub(crate) struct SimulatedObserver {
    world: Arc<World>,
    /// The number of the latest event; 0 before the first.
    latest: AtomicU64,
}

impl SimulatedObserver {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(SimulatedObserver {
            world: world.clone(),
            latest: AtomicU64::new(0),
        })
    }

    fn told(&self, happened: &[Observation]) {
        for observation in happened {
            let number = observation.number;
            let latest = self.latest.swap(number, Ordering::Relaxed);
            if latest > 0 && number != latest + 1 {
                self.world
                    .violated(format!("event {number} is told after event {latest}"));
            }
            if let Some(recorded) = self.world.differs(number, &observation.event) {
                let told = &observation.event;
                self.world.violated(format!(
                    "event {number} is told as {told:?}, and recorded as {recorded}"
                ));
            }
        }
    }
}

impl Observer for SimulatedObserver {
    fn observe(&self, _: RunId, happened: &[Observation], _: &RunStats) {
        self.told(happened);
    }

    fn observe_again(&self, _: RunId, happened: &[Observation]) {
        self.told(happened);
    }

    fn over(&self, _: RunId, _: &RunEnd, _: &RunStats) {}
}
