//! How a spawned task is to be run.

use super::Operation;
use super::calls::{Spawn, SpawnAll};
use crate::ids::TaskId;
use crate::protocol::Retry;
use crate::task::TaskFunction;
use std::time::Duration;

macro_rules! options {
    ($kind:ident, $it:literal) => {
        impl<F: TaskFunction> Operation<$kind<F>> {
            #[doc = concat!($it, " begins only when these have ended: `.after(&[&a, &b])`, or `.after(&[a.id(), b.id()])` for values of different")]
            /// types. If one of them fails, it fails too, without having begun, with [`Failure::Dependency`](crate::Failure::Dependency).
            pub fn after<T: Copy + Into<TaskId>>(mut self, tasks: &[T]) -> Self {
                self.0.1.after.extend(tasks.iter().map(|task| (*task).into()));
                self
            }

            /// A name for those who watch the run.
            pub fn named(mut self, name: impl Into<String>) -> Self {
                self.0.1.name = Some(name.into());
                self
            }

            #[doc = concat!("What happens when ", $it, " fails.")]
            pub fn retry(mut self, retry: Retry) -> Self {
                self.0.1.retry = Some(retry);
                self
            }

            /// How long one invocation may run, if that is less than what the platform allows.
            pub fn time_limit(mut self, limit: Duration) -> Self {
                self.0.1.time_limit = Some(limit);
                self
            }

            #[doc = concat!($it, " runs on the coordinator's own machine, whatever the platform is.")]
            pub fn on_coordinator(mut self) -> Self {
                self.0.1.on_coordinator = true;
                self
            }
        }
    };
}

options!(Spawn, "The task");
options!(SpawnAll, "Each task");
