//! Why a run has no result.

use crate::error::TaskError;
use crate::ids::{RunId, TaskId};
use crate::journal::JournalError;
use crate::store::StoreError;

/// Why a run has no result. Each says whether, and how, it can go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// The program failed: its first task, or one without which nothing can go on.
    #[error("{0}")]
    Failed(TaskError),
    /// What was decided cannot be recorded or read any more, so nothing more was done.
    #[error("run {run} stopped: {cause}; when the cause is gone, go on with it by `resume {run}`")]
    Journal {
        /// The run.
        run: RunId,
        /// What happened.
        #[source]
        cause: JournalError,
    },
    /// The run's values cannot be stored or read.
    #[error(
        "run {run} stopped: {cause}; if it has a state directory, `resume {run}` goes on with it when the cause is gone"
    )]
    Store {
        /// The run.
        run: RunId,
        /// What happened.
        #[source]
        cause: StoreError,
    },
    /// What the run was to be executed on is not there.
    #[error("run {run} cannot be executed: {cause}")]
    Platform {
        /// The run.
        run: RunId,
        /// What happened.
        cause: String,
    },
    /// This program is not the one that can go on with the run: its code has changed, or it lacks a task function. Nothing of the run has failed.
    #[error("run {run} stopped, because this program cannot go on with {task}: {cause}; {}", who_can_go_on(*run, *resumable))]
    WrongProgram {
        /// The run.
        run: RunId,
        /// The task that the program cannot go on with.
        task: TaskId,
        /// What does not fit; names the task's function.
        cause: String,
        /// Whether the run can be resumed.
        resumable: bool,
    },
    /// Another build of its program has worked on the run. Nothing of the run has changed.
    #[error(
        "run {run} cannot be gone on with by this program: {before} has worked on it so far, and this is {now}, whose types may be laid out in another way, which nobody would notice; resume it with the build that has worked on it, or, if no type that its tasks use has changed, with `--same-program` (`Builder::same_program`)"
    )]
    OtherProgram {
        /// The run.
        run: RunId,
        /// The build that has worked on it.
        before: String,
        /// This one.
        now: String,
    },
    /// Its coordinator found itself in a state that cannot be, and stopped before anything came of it. A fault of Kappa's own.
    #[error("run {run} stopped, because of a fault in Kappa itself: {cause}; nothing that follows from it was recorded or done; please report it; {}", how_to_go_on(*run, *resumable))]
    Broken {
        /// The run.
        run: RunId,
        /// What cannot be.
        cause: String,
        /// Whether the run can be resumed, from before that.
        resumable: bool,
    },
    /// Somebody has to mend something before anybody can go on with the run: a store or a disk that is full, not to be written, or damaged. Nothing
    /// of the run has failed.
    #[error("run {run} stopped: {cause}; {}", when_it_is_mended(*run, *resumable))]
    NeedsRepair {
        /// The run.
        run: RunId,
        /// What is to be mended.
        cause: String,
        /// Whether the run can be resumed.
        resumable: bool,
    },
    /// It was stopped from outside before its end.
    #[error("run {run} was interrupted; {}", how_to_go_on(*run, *resumable))]
    Interrupted {
        /// The run.
        run: RunId,
        /// Whether it can be resumed.
        resumable: bool,
    },
    /// There is no such run.
    #[error(
        "there is no run {run} that could be resumed; only a run with a state directory can, and from the same one"
    )]
    Unknown {
        /// The run asked for.
        run: RunId,
    },
    /// The result is there, but is of another type than the one asked for.
    #[error("the result of run {run} cannot be read as {expected}: {cause}; was it started by another program?")]
    Undecodable {
        /// The run.
        run: RunId,
        /// The type asked for.
        expected: &'static str,
        /// What did not fit.
        cause: String,
    },
}

impl RunError {
    /// Whether the run has only stopped, and can be gone on with.
    pub fn is_resumable(&self) -> bool {
        match self {
            RunError::Journal { .. } | RunError::Store { .. } => true,
            // By the build that has worked on it.
            RunError::OtherProgram { .. } => true,
            RunError::WrongProgram { resumable, .. }
            | RunError::Broken { resumable, .. }
            | RunError::NeedsRepair { resumable, .. }
            | RunError::Interrupted { resumable, .. } => *resumable,
            RunError::Failed(_)
            | RunError::Platform { .. }
            | RunError::Unknown { .. }
            | RunError::Undecodable { .. } => false,
        }
    }

    /// What happened, for those who say themselves how to go on.
    pub fn without_advice(&self) -> String {
        match self {
            RunError::Journal { run, cause } => format!("run {run} stopped: {cause}"),
            RunError::Store { run, cause } => format!("run {run} stopped: {cause}"),
            RunError::NeedsRepair { run, cause, .. } => format!("run {run} stopped: {cause}"),
            RunError::WrongProgram { run, task, cause, .. } => {
                format!("run {run} stopped, because this program cannot go on with {task}: {cause}")
            }
            RunError::Interrupted { run, .. } => format!("run {run} was interrupted"),
            RunError::Broken { run, cause, .. } => format!(
                "run {run} stopped, because of a fault in Kappa itself: {cause}; nothing that follows from it was recorded or done; please report it"
            ),
            RunError::OtherProgram { run, before, now } => format!(
                "run {run} cannot be gone on with by this program: {before} has worked on it so far, and this is {now}; if no type that its tasks use has changed, say so by `--same-program`"
            ),
            RunError::Failed(_)
            | RunError::Platform { .. }
            | RunError::Unknown { .. }
            | RunError::Undecodable { .. } => self.to_string(),
        }
    }
}

fn how_to_go_on(run: RunId, resumable: bool) -> String {
    match resumable {
        true => format!("go on with it by `resume {run}`"),
        false => "it had no state directory, so it cannot be resumed".to_string(),
    }
}

fn when_it_is_mended(run: RunId, resumable: bool) -> String {
    match resumable {
        true => {
            format!("nothing of the run has failed or is lost: when that is mended, go on with it by `resume {run}`")
        }
        false => "it had no state directory, so it cannot be resumed".to_string(),
    }
}

fn who_can_go_on(run: RunId, resumable: bool) -> String {
    match resumable {
        true => format!(
            "nothing is lost: the program that has worked on it so far can go on with it by `resume {run}`, or `kappa cancel {run}` ends it"
        ),
        false => "it had no state directory, so it cannot be resumed".to_string(),
    }
}
