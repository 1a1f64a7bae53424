//! Bringing the view up to date: connecting, judging what is seen, and telling the servers what follows.

use super::server::{Connected, Trouble};
use super::view::{Asker, Verdict, View, judge};
use super::{Condition, PATIENCE, Problem, Replicas, Serving};
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two looks at servers that are not as they should be.
const RETRY: Duration = Duration::from_millis(50);

/// Why there is nothing to work with at present.
enum Hitch {
    /// The view has changed: look again.
    Again,
    /// It may become better.
    Wait(String),
    /// It does not become better by itself.
    Refuse(String),
}

impl Replicas {
    /// Waits for servers to work with.
    pub(super) async fn settle(&self) -> Result<Arc<Serving>, Problem> {
        let _settling = self.settling.lock().await;
        let started = Instant::now();
        loop {
            if let Some(serving) = self.present() {
                return Ok(serving);
            }
            let is_tired = started.elapsed() > PATIENCE / 2;
            match self.look(is_tired).await {
                Ok(serving) => return Ok(serving),
                Err(Hitch::Again) => {}
                Err(Hitch::Refuse(cause)) => return Err(Problem::Refused(cause)),
                Err(Hitch::Wait(cause)) if started.elapsed() > PATIENCE => return Err(Problem::Unreachable(cause)),
                Err(Hitch::Wait(_)) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Looks for servers that are away, gives up those that are lost, and lets those return that are back.
    pub(super) async fn maintain(&self) {
        {
            // Whoever holds it does the same.
            let Ok(_settling) = self.settling.try_lock() else {
                return;
            };
            let is_well = |serving: &Serving| {
                serving.view.members.len() == self.addresses.servers().len()
                    && serving.targets.iter().all(|target| target.is_vouched())
            };
            if self.present().is_some_and(|serving| is_well(&serving)) {
                return;
            }
            // What is wrong is said by whoever needs the servers.
            if self.look(false).await.is_err() {
                return;
            }
        }
        if !self.is_healing.swap(true, Ordering::AcqRel) {
            self.heal().await;
            self.is_healing.store(false, Ordering::Release);
        }
    }

    /// Looks at all servers once, and does what follows.
    async fn look(&self, is_tired: bool) -> Result<Arc<Serving>, Hitch> {
        let (slow, unwilling) = self.connect_all().await;
        // One that lets nobody in does not become better by waiting.
        if let (Some(cause), None) = (unwilling, &*self.set.lock()) {
            return Err(Hitch::Refuse(cause));
        }
        if !slow.is_empty() {
            // Whether it is only slow will show: its connections are cut if it stays silent.
            return Err(Hitch::Wait(format!("{} does not answer", slow.join(", "))));
        }
        let (seen, connected): (Vec<_>, Vec<_>) = {
            let slots = self.slots.lock();
            let there = slots
                .iter()
                .filter_map(|slot| Some((slot.connected.clone()?, slot.view.clone())));
            there.map(|(connected, view)| (connected.seen(view), connected)).unzip()
        };
        let named: Vec<_> = self.addresses.servers().iter().map(|address| address.name()).collect();
        let set = self.set.lock().clone();
        let options = self.addresses.options();
        let asker = Asker {
            set: set.as_deref(),
            is_worker: options.is_worker,
            // It was said of how things stood at the start, not of what gets lost from then on.
            missing_is_lost: options.missing_is_lost && set.is_none(),
            is_tired,
        };
        let verdict = judge(&seen, &named, asker);
        let find = |view: &View| -> Vec<Arc<Connected>> {
            let targets = view.targets();
            targets
                .filter_map(|member| connected.iter().find(|server| server.member == *member).cloned())
                .collect()
        };
        let token_of = |server: &Connected| {
            let seen = seen.iter().find(|seen| seen.member == server.member);
            seen.and_then(|seen| seen.view.as_ref())
                .map_or(String::new(), |view| view.token.clone())
        };
        match verdict {
            Verdict::Work(view) => {
                let targets = find(&view);
                for target in &targets {
                    let token = token_of(target);
                    if token != view.token {
                        self.tell(target, &token, &view).await?;
                    }
                }
                Ok(self.publish(view, targets))
            }
            Verdict::Begin(to) | Verdict::Shrink { to } => {
                // The first one decides; the others are told when everyone is looked at again.
                if let Some(first) = find(&to).first() {
                    self.tell(first, &token_of(first), &to).await?;
                }
                Err(Hitch::Again)
            }
            Verdict::Recover { to } => {
                let all = find(&to);
                let Some(first) = all.first() else {
                    return Err(Hitch::Again);
                };
                let lock = super::heal::Lock::take(first).await.map_err(hitch)?;
                let Some(lock) = lock else {
                    return Err(Hitch::Wait(
                        "somebody else is bringing the servers together".to_string(),
                    ));
                };
                let tokens: Vec<_> = all.iter().map(|server| token_of(server)).collect();
                let union = super::heal::unite(&all, &tokens).await;
                let told = match union {
                    Ok(()) => self.tell(first, &token_of(first), &to).await,
                    Err(trouble) => Err(hitch(trouble)),
                };
                lock.free().await;
                told?;
                Err(Hitch::Again)
            }
            Verdict::Wait(cause) => Err(Hitch::Wait(self.with_problems(cause))),
            Verdict::Refuse(cause) => Err(Hitch::Refuse(cause)),
        }
    }

    /// Makes this the server's view. Somebody else may have been faster: then everything is looked at again.
    async fn tell(&self, server: &Arc<Connected>, expected: &str, view: &View) -> Result<(), Hitch> {
        match server.set_view(expected, view).await {
            Ok(Ok(())) => {
                self.note_view(server, Some(view.clone()));
                Ok(())
            }
            Ok(Err(_)) => Err(Hitch::Again),
            Err(trouble) => {
                if let Trouble::Gone(_) = trouble {
                    server.cut();
                }
                Err(hitch(trouble))
            }
        }
    }

    pub(super) fn note_view(&self, server: &Arc<Connected>, view: Option<View>) {
        let mut slots = self.slots.lock();
        let slot = slots.iter_mut().find(|slot| {
            slot.connected
                .as_ref()
                .is_some_and(|connected| Arc::ptr_eq(connected, server))
        });
        if let Some(slot) = slot {
            slot.view = view;
        }
    }

    /// Connects to those that are not connected, and asks the others for their views. Gives the names of those that are slow to answer, and why
    /// one that is there is of no use.
    async fn connect_all(&self) -> (Vec<String>, Option<String>) {
        let present: Vec<_> = self.slots.lock().iter().map(|slot| slot.connected.clone()).collect();
        let looks = self
            .addresses
            .servers()
            .iter()
            .zip(present)
            .map(|(address, connected)| async move {
                if let Some(connected) = connected.filter(|connected| !connected.is_cut()) {
                    match connected.view().await {
                        Ok(view) => return Ok((connected, view)),
                        // It is slow, or it is gone; connecting again will show.
                        Err(trouble) if !connected.is_cut() => return Err((Some(connected), trouble)),
                        Err(_) => {}
                    }
                }
                match Connected::open(address).await {
                    Ok((connected, view)) => Ok((Arc::new(connected), view)),
                    Err(trouble) => Err((None, trouble)),
                }
            });
        let looks = join_all(looks).await;
        let mut slots = self.slots.lock();
        let (mut slow, mut unwilling) = (Vec::new(), None);
        for ((slot, look), address) in slots.iter_mut().zip(looks).zip(self.addresses.servers()) {
            match look {
                Ok((connected, view)) => {
                    slot.connected = Some(connected);
                    slot.view = view;
                    slot.problem = None;
                }
                Err((Some(connected), _)) => slow.push(connected.name.clone()),
                Err((None, trouble)) => {
                    if let Trouble::Unwilling(cause) = &trouble {
                        unwilling = Some(format!("{}: {cause}", address.name()));
                    }
                    let (Trouble::Gone(cause) | Trouble::Unwilling(cause)) = trouble;
                    slot.connected = None;
                    slot.view = None;
                    slot.problem = Some(cause);
                }
            }
        }
        (slow, unwilling)
    }

    /// What is said of servers, with what each of them said last.
    fn with_problems(&self, cause: String) -> String {
        let problems: Vec<_> = self
            .status()
            .into_iter()
            .filter_map(|status| Some(format!("{}: {}", status.server, status.problem?)))
            .collect();
        match problems.is_empty() {
            true => cause,
            false => format!("{cause} ({})", problems.join("; ")),
        }
    }

    /// These are to be worked with from now on. Everyone in the view has just agreed on it.
    ///
    /// There is always a first one, by which others go who decides (`targets[0]`): `judge` considers only views that have a member, and says `Work` only if
    /// all of them are there.
    fn publish(&self, view: View, targets: Vec<Arc<Connected>>) -> Arc<Serving> {
        targets.iter().for_each(|target| target.vouch());
        self.set.lock().get_or_insert_with(|| view.set.clone());
        self.report(&view);
        let serving = Arc::new(Serving { view, targets });
        *self.serving.write() = Some(serving.clone());
        serving
    }

    /// Says what has become of the servers since the last time.
    fn report(&self, view: &View) {
        let mut slots = self.slots.lock();
        let left = view.members.len();
        for (address, slot) in self.addresses.servers().iter().zip(slots.iter_mut()) {
            let server = address.name();
            let condition = match &slot.connected {
                None => Condition::Lost,
                Some(connected) if view.members.contains(&connected.member) => Condition::Serving,
                Some(connected) if view.learners.contains(&connected.member) => Condition::Returning,
                Some(_) => Condition::Outside,
            };
            let before = std::mem::replace(&mut slot.condition, condition);
            if before == condition || self.is_worker() {
                continue;
            }
            let cause = slot.problem.as_deref().unwrap_or("it has been started again");
            match (before, condition) {
                (_, Condition::Lost) => {
                    tracing::warn!(
                        server,
                        cause,
                        left,
                        "a Redis server is lost; what is written goes to those that are left"
                    );
                }
                (Condition::Unknown | Condition::Returning, Condition::Outside) => {}
                (_, Condition::Outside) => {
                    tracing::warn!(
                        server,
                        cause,
                        left,
                        "a Redis server has missed something and is not used until it has it"
                    );
                }
                (Condition::Unknown, _) | (_, Condition::Unknown) => {}
                (_, Condition::Returning) => tracing::info!(server, "a Redis server is being given what it has missed"),
                (_, Condition::Serving) => tracing::info!(server, "a Redis server has everything again"),
            }
        }
    }
}

fn hitch(trouble: Trouble) -> Hitch {
    match trouble {
        Trouble::Gone(_) => Hitch::Again,
        Trouble::Unwilling(cause) => Hitch::Refuse(cause),
    }
}
