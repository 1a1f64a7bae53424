//! `cancel`: ends a run with all its tasks.
//!
//! A run that a process is working on is cancelled by that process: it looks several times a second whether that is asked for
//! where its record is. One on which nobody works is taken over for a moment, without starting any of its tasks.

use super::{End, Which, open_store, runtime, say};
use crate::Failure;
use crate::ids::RunId;
use crate::link::Link;
use crate::platform::Platform;
use crate::protocol::{Invocation, InvocationOutcome};
use crate::record::Records;
use crate::record::folder::Standing;
use crate::runtime::{Kappa, RunError};
use async_trait::async_trait;
use clap::Args;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long whoever works on a run may take to cancel it.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(in crate::cli) struct Cancel {
    #[command(flatten)]
    which: Which,
}

/// A platform on which nothing ever happens.
struct Idle;

#[async_trait]
impl Platform for Idle {
    async fn invoke(&self, _invocation: Invocation, _link: Arc<dyn Link>) -> InvocationOutcome {
        std::future::pending().await
    }

    async fn shutdown(&self) {}

    fn concurrency(&self) -> usize {
        1
    }
}

impl Cancel {
    pub(super) fn answer(self) -> Result<(), End> {
        let (records, run) = self.which.find()?;
        let deadline = Instant::now() + PATIENCE;
        let mut is_asked = false;
        loop {
            match records.standing(run, records.about(run).ok().as_ref()) {
                Standing::Cancelled => {
                    say(&format!("run {run} is cancelled"));
                    return Ok(());
                }
                Standing::Ended | Standing::Failed => {
                    return Err(End::failed(format!("run {run} had ended before it could be cancelled")));
                }
                Standing::Running => {
                    if !is_asked {
                        records.ask_to_cancel(run).map_err(End::failed)?;
                        is_asked = true;
                    }
                }
                Standing::Interrupted | Standing::Unknown => match runtime()?.block_on(take_over(&*records, run)) {
                    Ok(()) => {}
                    // Somebody has resumed it meanwhile.
                    Err(_) if records.is_worked_on(run) => {}
                    Err(end) => return Err(end),
                },
            }
            if Instant::now() > deadline {
                return Err(End::failed(format!(
                    "whoever works on run {run} has not cancelled it within {} s; it will be as soon as that process looks, or the run is resumed",
                    PATIENCE.as_secs()
                )));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

async fn take_over(records: &dyn Records, run: RunId) -> Result<(), End> {
    let about = records.about(run).map_err(End::failed)?;
    let store = open_store(records, &about)
        .map_err(|cause| End::failed(format!("run {run} cannot be cancelled without its store: {cause}")))?;
    let kappa = Kappa::builder()
        .platform(Arc::new(Idle))
        .store(store)
        .only_ends_runs()
        .state(records.place());
    let kappa = kappa.build().await.map_err(End::failed)?;
    let handle = kappa.resume_erased(run).await.map_err(End::failed)?;
    handle.cancel();
    let ended = handle.wait_bytes().await;
    drop(handle);
    kappa.shutdown().await;
    match ended {
        Err(RunError::Failed(error)) if error.kind == Failure::Cancelled => Ok(()),
        // It had ended just before it was recorded as such.
        Ok(_) | Err(RunError::Failed(_)) => Ok(()),
        Err(error) => Err(End::failed(error)),
    }
}
