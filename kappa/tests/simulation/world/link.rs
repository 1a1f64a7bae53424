//! A way to the coordinator on which messages are lost, late and doubled.

use super::faults::Class;
use super::model;
use super::platform::{How, Worker};
use async_trait::async_trait;
use kappa::link::Link;
use kappa::protocol::{Reply, Request};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

/// How long a worker waits until it sends a request again, in microseconds.
const AGAIN: u64 = 40_000;

/// How long the state machine and the journal may take to answer or send away beyond the grace, in microseconds.
const SLACK: u64 = 10_000;

/// One invocation's way to whoever is the coordinator.
pub(crate) struct SimulatedLink(pub(crate) Arc<Worker>);

#[async_trait]
impl Link for SimulatedLink {
    async fn send(&self, request: Request) -> Reply {
        let worker = &self.0;
        let number = worker.count_request();
        let name = model::name(&request.call);
        if let Some(fate) = worker.meets_before(number) {
            self.meet(fate, format!("before {name}")).await;
        }
        let reply = self.deliver(&request, name).await;
        if let Some(fate) = worker.meets_after(number) {
            self.meet(fate, format!("after {name}")).await;
        }
        reply
    }
}

impl SimulatedLink {
    /// Delivers a request at least once, and brings back a reply.
    async fn deliver(&self, request: &Request, name: &'static str) -> Reply {
        let world = &self.0.world;
        let strikes = |what| world.strikes(Class::Message, what, || name.to_string());
        loop {
            world.pause().await;
            if self.0.may_be_unlinked() && strikes("coordinator is out of reach") {
                self.0.leaves_with(request.clone());
                return pending().await;
            }
            if strikes("request is lost") {
                world.clock.wait(AGAIN).await;
                continue;
            }
            if strikes("request is doubled") {
                self.double(request.clone());
            }
            if strikes("request is late") {
                let late = world.dice.number(1..400_000);
                world.clock.wait(late).await;
            }
            let Some((epoch, coordinator)) = world.way() else {
                // Nobody is there: some give up, some try again.
                if world.dice.chance(0.5) {
                    return Reply::Fenced;
                }
                world.clock.wait(AGAIN).await;
                continue;
            };
            let sent = world.clock.elapsed();
            let reply = coordinator.send(request.clone()).await;
            if !world.is_alive(epoch) {
                // The connection broke; whatever was said was not the coordinator's word.
                if world.dice.chance(0.5) {
                    return Reply::Fenced;
                }
                continue;
            }
            let took = Duration::from_micros((world.clock.elapsed() - sent).saturating_sub(SLACK));
            if took > world.grace {
                world.violated(format!(
                    "{name} of {} was kept waiting for {took:?} beyond the slack, the grace is {:?}",
                    request.task, world.grace
                ));
            }
            if strikes("reply is lost") {
                world.clock.wait(AGAIN).await;
                continue;
            }
            world.pause().await;
            if strikes("reply is late") {
                let late = world.dice.number(1..400_000);
                world.clock.wait(late).await;
            }
            return reply;
        }
    }

    /// The same request once more, some time later; nobody hears the reply.
    fn double(&self, request: Request) {
        let world = self.0.world.clone();
        let later = world.dice.number(0..300_000);
        let copy = {
            let world = world.clone();
            async move {
                world.clock.wait(later).await;
                if let Some((_, coordinator)) = world.way() {
                    coordinator.send(request).await;
                }
            }
        };
        world.runtime.spawn(copy);
    }

    /// The end of this invocation, as the platform sees it. A zombie goes on.
    async fn meet(&self, how: How, place: String) {
        let worker = &self.0;
        worker.end(how, &place, true);
        if worker.is_zombie() {
            let later = worker.world.dice.number(0..200_000);
            worker.world.clock.wait(later).await;
        } else {
            pending::<()>().await;
        }
    }
}
