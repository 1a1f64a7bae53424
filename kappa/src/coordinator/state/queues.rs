//! Tasks that exchange items, through bounded queues.
//!
//! First in, first out: items, producers that wait for room, consumers that wait for an item. A batch goes in item by item and keeps its place
//! among the waiting producers until its last item is in. What was asked for before the queue was closed still goes in: closing loses
//! nothing, and a consumer hears "drained" only when no producer waits any more. That a queue exists, and is open where it has to be, is checked before.

use super::calls::Outcome;
use super::task::{Phase, Recorded, Wait};
use super::{Action, State, impossible};
use crate::coordinator::sabotage::{self, Sabotage};
use crate::ids::{QueueId, TaskId};
use crate::protocol::Payload;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// One queue. Either nobody waits for an item, or there is none (and then nobody waits for room).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Queue {
    capacity: u64,
    closed: bool,
    items: VecDeque<Payload>,
    /// Blocked tasks with [`Wait::Enqueue`] here, by their places: whoever leaves is found at once, however many there are.
    producers: BTreeMap<u64, TaskId>,
    /// Blocked tasks with [`Wait::Dequeue`] here, by their places.
    consumers: BTreeMap<u64, TaskId>,
    /// The place of the next one who has to wait.
    next_place: u64,
}

impl Queue {
    fn has_room(&self) -> bool {
        (self.items.len() as u64) < self.capacity
    }

    /// Whether nobody waits for what is there.
    pub(super) fn check(&self, id: QueueId) -> Result<(), String> {
        let consumers_wait = !self.consumers.is_empty();
        let producers_wait = !self.producers.is_empty();
        if consumers_wait && (!self.items.is_empty() || producers_wait) {
            return Err(format!("somebody waits for an item of {id}, which has one"));
        }
        if producers_wait && self.has_room() {
            return Err(format!("somebody waits for room in {id}, which has some"));
        }
        if consumers_wait && self.closed {
            return Err(format!("somebody waits for an item of {id}, which is closed"));
        }
        Ok(())
    }

    /// Who waits for room, by places.
    pub(super) fn producers(&self) -> impl Iterator<Item = (u64, TaskId)> {
        self.producers.iter().map(|(place, task)| (*place, *task))
    }

    /// Who waits for an item, by places.
    pub(super) fn consumers(&self) -> impl Iterator<Item = (u64, TaskId)> {
        self.consumers.iter().map(|(place, task)| (*place, *task))
    }

    fn take_place(&mut self) -> u64 {
        let place = self.next_place;
        self.next_place += 1;
        place
    }
}

impl State {
    pub(super) fn is_closed(&self, id: QueueId) -> bool {
        self.queues.get(&id).is_some_and(|queue| queue.closed)
    }

    pub(super) fn create_queue(&mut self, capacity: u64) -> Outcome {
        let id = QueueId(self.next_queue);
        self.next_queue += 1;
        let queue = Queue {
            capacity,
            closed: false,
            items: VecDeque::new(),
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            next_place: 0,
        };
        self.queues.insert(id, queue);
        Outcome::Answered(Recorded::Queue(id))
    }

    pub(super) fn enqueue(
        &mut self,
        producer: TaskId,
        id: QueueId,
        items: Vec<Payload>,
        actions: &mut Vec<Action>,
    ) -> Outcome {
        let mut rest = VecDeque::from(items);
        // Whoever finds others waiting for room finds the queue full, and goes behind them.
        self.admit(id, &mut rest, actions);
        if rest.is_empty() {
            return Outcome::done();
        }
        let Some(queue) = self.queues.get_mut(&id) else {
            impossible!(self => Outcome::done(), "{producer} puts into {id}, which is not there");
        };
        let place = queue.take_place();
        queue.producers.insert(place, producer);
        Outcome::Blocked(Wait::Enqueue { queue: id, place, rest })
    }

    /// Lets in as many items as there are consumers and room for.
    fn admit(&mut self, id: QueueId, rest: &mut VecDeque<Payload>, actions: &mut Vec<Action>) {
        while let Some(queue) = self.queues.get_mut(&id) {
            if let Some(consumer) = queue.consumers.first_entry()
                && let Some(item) = rest.pop_front()
            {
                let consumer = consumer.remove();
                self.unblock(consumer, Recorded::Item(Some(item)), actions);
            } else if queue.has_room()
                && let Some(item) = rest.pop_front()
            {
                queue.items.push_back(item);
            } else {
                return;
            }
        }
    }

    pub(super) fn dequeue(&mut self, consumer: TaskId, id: QueueId, actions: &mut Vec<Action>) -> Outcome {
        let Some(queue) = self.queues.get_mut(&id) else {
            impossible!(self => Outcome::done(), "{consumer} takes from {id}, which is not there");
        };
        let first = match sabotage::is(Sabotage::LastInFirstOut) {
            true => queue.items.pop_back(),
            false => queue.items.pop_front(),
        };
        if let Some(item) = first {
            if sabotage::is(Sabotage::DeletesTaken) {
                self.discard(item.clone(), actions);
            }
            self.let_producers_in(id, actions);
            return Outcome::Answered(Recorded::Item(Some(item)));
        }
        if queue.closed {
            return Outcome::Answered(Recorded::Item(None));
        }
        let place = queue.take_place();
        queue.consumers.insert(place, consumer);
        Outcome::Blocked(Wait::Dequeue { queue: id, place })
    }

    /// There may be room: the producers that wait longest go first.
    fn let_producers_in(&mut self, id: QueueId, actions: &mut Vec<Action>) {
        while let Some(queue) = self.queues.get(&id)
            && queue.has_room()
            && let Some((_, &producer)) = queue.producers.first_key_value()
        {
            let mut rest = match self.tasks.get_mut(&producer).map(|task| &mut task.phase) {
                Some(Phase::Blocked {
                    wait: Wait::Enqueue { rest, .. },
                    ..
                }) => std::mem::take(rest),
                _ => impossible!(self, "{producer} has a place at {id}, and does not wait there"),
            };
            self.admit(id, &mut rest, actions);
            if sabotage::is(Sabotage::LosesWaiting) && rest.len() > 1 {
                rest.pop_back();
            }
            if rest.is_empty() {
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.producers.pop_first();
                }
                self.unblock(producer, Recorded::Done, actions);
            } else if let Some(Phase::Blocked {
                wait: Wait::Enqueue { rest: place, .. },
                ..
            }) = self.tasks.get_mut(&producer).map(|task| &mut task.phase)
            {
                *place = rest;
            } else {
                impossible!(self, "{producer} has a place at {id}, and does not wait there any more");
            }
        }
    }

    pub(super) fn close(&mut self, id: QueueId, actions: &mut Vec<Action>) {
        let Some(queue) = self.queues.get_mut(&id) else {
            impossible!(self, "{id} is to be closed, and is not there");
        };
        queue.closed = true;
        // Whoever waits for an item waits in vain: there is none, and so no producer waits either.
        for consumer in std::mem::take(&mut queue.consumers).into_values() {
            self.unblock(consumer, Recorded::Item(None), actions);
        }
    }

    /// A blocked task will not need its place any more.
    pub(super) fn leave_queue(&mut self, id: QueueId, place: u64, actions: &mut Vec<Action>) {
        let Some(queue) = self.queues.get_mut(&id) else {
            impossible!(self, "{id} is left, and is not there");
        };
        queue.producers.remove(&place);
        queue.consumers.remove(&place);
        self.let_producers_in(id, actions);
    }
}
