//! What the coordinator has recorded, followed record by record: the one account of what took effect.
//!
//! A second state machine is given the same records. It says which calls were committed and which objects have become garbage; and at every recovery
//! and every snapshot it must agree with the coordinator's, byte for byte.

use super::model::{self, Calls};
use kappa::coordinator::state::{Action, Event, RunEvent, State, decode_record};
use kappa::ids::{RunId, Sequence, TaskId};
use kappa::protocol::{Call, InvocationOutcome, Payload, Request, TaskSpec};
use kappa::runtime::{RunStats, WaitsFor};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that took effect.
pub(crate) struct History {
    shadow: State,
    /// Of each task, the number of its last committed call and the calls that are to come.
    tasks: BTreeMap<TaskId, Committed>,
    /// Objects that the run still needs.
    live: BTreeSet<String>,
    /// Objects of tasks that have ended or gone on, which may be deleted.
    garbage: BTreeSet<String>,
    /// What those who watch are to be told, in order.
    events: Vec<RunEvent>,
    /// The places of objects that tasks wait for, and of those that are there as far as it is recorded.
    on_the_way: BTreeMap<TaskId, String>,
    published: BTreeSet<String>,
    pub(crate) commits: u64,
    pub(crate) most_live: usize,
}

struct Committed {
    last: Sequence,
    calls: Option<Calls>,
    has_ended: bool,
    is_well: bool,
    is_on_coordinator: bool,
    /// It begins only when these have ended well.
    after: Vec<TaskId>,
}

/// What following a record brought to light.
pub(crate) enum Finding {
    /// For the printed history.
    Note(String),
    /// A guarantee is broken.
    Violation(String),
}

impl History {
    pub(crate) fn new(run: RunId) -> Self {
        History {
            shadow: State::new(run),
            tasks: BTreeMap::new(),
            live: BTreeSet::new(),
            garbage: BTreeSet::new(),
            events: Vec::new(),
            on_the_way: BTreeMap::new(),
            published: BTreeSet::new(),
            commits: 0,
            most_live: 0,
        }
    }

    /// The state as it must be after everything that was recorded.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        self.shadow.snapshot()
    }

    /// Whether the run has ended, as recorded.
    pub(crate) fn has_ended(&self) -> bool {
        self.shadow.ended().is_some()
    }

    /// What happened, in numbers.
    pub(crate) fn stats(&self) -> &RunStats {
        self.shadow.stats()
    }

    /// The event of this number; the first is 1.
    pub(crate) fn event(&self, number: u64) -> Option<&RunEvent> {
        self.events.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Whether the object is recorded to be at its place, and nobody waits for it any more.
    pub(crate) fn is_past(&self, url: &str) -> bool {
        self.published.contains(url) && !self.on_the_way.values().any(|other| other == url)
    }

    /// Whether the task is to run on the coordinator's own machine.
    pub(crate) fn is_on_coordinator(&self, task: TaskId) -> bool {
        self.tasks.get(&task).is_some_and(|task| task.is_on_coordinator)
    }

    /// Whether the run still needs this object.
    pub(crate) fn is_live(&self, key: &str) -> bool {
        self.live.contains(key)
    }

    /// Follows one record. `read` gives what the store has under a key.
    pub(crate) fn follow(&mut self, record: &[u8], read: &dyn Fn(&str) -> Option<Vec<u8>>, found: &mut Vec<Finding>) {
        let (at, event) = match decode_record(record) {
            Ok(decoded) => decoded,
            Err(cause) => {
                found.push(Finding::Violation(format!("a record cannot be read: {cause}")));
                return;
            }
        };
        let request = match &event {
            Event::Requested(request) => Some(request.clone()),
            Event::InvocationEnded {
                outcome: InvocationOutcome::Unlinked(request),
                ..
            } => Some(Request::clone(request)),
            Event::Started { root, .. } => {
                self.created(TaskId::ROOT, root, read, found);
                None
            }
            _ => None,
        };
        let mut spawned = TaskId(self.shadow.stats().tasks);
        let caller = request.as_ref().and_then(|request| self.tasks.get(&request.task));
        let has_ended = caller.is_some_and(|task| task.has_ended);
        let mut actions = Vec::new();
        self.shadow.apply(at, event, &mut actions);
        if let Err(what) = self.shadow.check_invariants() {
            found.push(Finding::Violation(format!("the state does not fit together: {what}")));
        }
        for action in actions {
            if let Action::Observed(event) = &action {
                self.observed(event);
            }
            match action {
                Action::Observed(RunEvent::Checkpoint { task, sequence, .. }) => {
                    let committed = request.as_ref().filter(|r| r.task == task && r.sequence == sequence);
                    match committed {
                        Some(_) if has_ended => {
                            found.push(Finding::Violation(format!("{task} has ended and makes a call")));
                        }
                        Some(request) => self.committed(request, &mut spawned, read, found),
                        None => found.push(Finding::Violation(format!(
                            "{task} committed {sequence} without asking"
                        ))),
                    }
                }
                Action::Observed(RunEvent::TaskEnded { task, error }) => {
                    let how = if error.is_some() { " by a failure" } else { "" };
                    found.push(Finding::Note(format!("{task} ends{how}")));
                    if let Some(task) = self.tasks.get_mut(&task) {
                        if task.has_ended {
                            found.push(Finding::Violation("a task ends twice".to_string()));
                        }
                        task.has_ended = true;
                        task.is_well = error.is_none();
                    }
                }
                Action::Observed(RunEvent::BegunAgain { task, .. }) => {
                    found.push(Finding::Note(format!("{task} begins again")));
                    if let Some(calls) = self.tasks.get_mut(&task).and_then(|task| task.calls.as_mut()) {
                        calls.begin_again();
                    }
                }
                Action::Delete { key, .. } => {
                    self.live.remove(&key);
                    self.garbage.insert(key);
                }
                _ => {}
            }
        }
        if self.has_ended() {
            self.garbage.append(&mut self.live);
        }
        self.most_live = self.most_live.max(self.live.len());
        let alive = self.tasks.values().filter(|task| !task.has_ended).count();
        let checkpoints = self.live.iter().filter(|key| key.contains("/checkpoint/")).count();
        if checkpoints > alive {
            found.push(Finding::Violation(format!(
                "{checkpoints} checkpoints are kept for {alive} tasks"
            )));
        }
    }

    fn observed(&mut self, event: &RunEvent) {
        self.events.push(event.clone());
        match event {
            RunEvent::Blocked {
                task,
                waits_for: WaitsFor::Object(url),
            } => {
                self.on_the_way.insert(*task, url.clone());
            }
            RunEvent::Published { url, .. } => {
                self.published.insert(url.clone());
            }
            RunEvent::Unblocked { task } | RunEvent::TaskEnded { task, .. } | RunEvent::BegunAgain { task, .. } => {
                self.on_the_way.remove(task);
            }
            _ => {}
        }
    }

    fn created(
        &mut self,
        id: TaskId,
        spec: &TaskSpec,
        read: &dyn Fn(&str) -> Option<Vec<u8>>,
        found: &mut Vec<Finding>,
    ) {
        let arguments = self.content(&spec.arguments, read, found).unwrap_or_default();
        let task = Committed {
            last: 0,
            calls: Calls::of(&spec.function, &arguments),
            has_ended: false,
            is_well: false,
            is_on_coordinator: spec.options.on_coordinator,
            after: spec.options.after.clone(),
        };
        if self.tasks.insert(id, task).is_some() {
            found.push(Finding::Violation(format!("{id} was created twice")));
        }
    }

    fn committed(
        &mut self,
        request: &Request,
        spawned: &mut TaskId,
        read: &dyn Fn(&str) -> Option<Vec<u8>>,
        found: &mut Vec<Finding>,
    ) {
        self.commits += 1;
        let name = model::name(&request.call);
        let (id, sequence) = (request.task, request.sequence);
        found.push(Finding::Note(format!("{id} commits {sequence}: {name}")));
        // What a call carries is durable before it takes effect.
        self.content(&request.continuation, read, found);
        match &request.call {
            Call::Spawn(specs) => {
                for spec in specs {
                    self.created(*spawned, spec, read, found);
                    spawned.0 += 1;
                }
            }
            Call::Enqueue(_, items) => {
                for item in items {
                    self.content(item, read, found);
                }
            }
            Call::Exit(Ok(value)) | Call::PutObject { content: value, .. } => {
                self.content(value, read, found);
            }
            _ => {}
        }
        let Some(task) = self.tasks.get(&id) else {
            found.push(Finding::Violation(format!("{id} was never created")));
            return;
        };
        let is_well = |id: &TaskId| self.tasks.get(id).is_some_and(|task| task.is_well);
        if !task.after.iter().all(is_well) {
            found.push(Finding::Violation(format!("{id} has begun too early")));
        }
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let last = task.last;
        if sequence <= last {
            found.push(Finding::Violation(format!("{id} committed {sequence} after {last}")));
        }
        task.last = sequence;
        let deferred = request.deferred.iter().filter(|(number, _)| *number > last);
        let deferred = deferred.map(|(number, call)| (*number, model::name(call)));
        for (number, name) in deferred.chain([(sequence, name)]) {
            let is_expected = task.calls.as_mut().is_some_and(|calls| calls.accept(name));
            if !is_expected {
                let calls = &task.calls;
                found.push(Finding::Violation(format!(
                    "{id} made call {number}, {name}, instead of {calls:?}"
                )));
            }
        }
    }

    /// Notes that a payload is needed from now on, and gives its content.
    fn content(
        &mut self,
        payload: &Payload,
        read: &dyn Fn(&str) -> Option<Vec<u8>>,
        found: &mut Vec<Finding>,
    ) -> Option<Vec<u8>> {
        match payload {
            Payload::Inline(bytes) => Some(bytes.to_vec()),
            Payload::Stored { key, .. } => {
                let content = read(key);
                if content.is_none() {
                    found.push(Finding::Violation(
                        "a call took effect before its values were stored".to_string(),
                    ));
                }
                if !self.live.insert(key.clone()) || self.garbage.contains(key) {
                    found.push(Finding::Violation("an object is named by two calls".to_string()));
                }
                content
            }
        }
    }
}
