//! What the clients of a story do, whatever happens: they put and read, replace, delete, and write a journal of which one of them at a time has the lease.

use super::super::{Guard, New, Outcome, Problem, PutId, Replicas, clock};
use super::history::History;
use super::world::CLIENTS;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;
use std::sync::Arc;
use std::time::Duration;

const AGAIN: &str = "kappa:j:again";
const LEASE: &str = "kappa:j:run/lease";

/// Longer than what is put in one step.
const LARGE: usize = 40 << 10;

pub(super) struct Client {
    pub(super) number: usize,
    pub(super) replicas: Arc<Replicas>,
    pub(super) history: Arc<Mutex<History>>,
    pub(super) dice: SmallRng,
    /// What it has put and may delete.
    pub(super) own: Vec<String>,
    /// The lease that it took, and the next batch.
    pub(super) lease: Option<(Guard, u64)>,
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.first_chunk()?))
}

fn new<'a>(key: &'a str, value: &'a [u8], replaces: Option<PutId>) -> New<'a> {
    New {
        key,
        value,
        replaces,
        guard: None,
        previous: None,
    }
}

fn batch_key(number: u64) -> String {
    format!("kappa:j:run/batch/{number:020}")
}

impl Client {
    pub(super) async fn work(mut self) {
        for round in 0_u64.. {
            let value = round * CLIENTS as u64 + self.number as u64;
            let once = format!("kappa:o:{}", round / 2);
            let done = match self.dice.random_range(0..8) {
                0 | 1 => self.put_once(&once, value).await,
                2 => self.replace(value).await,
                3 => self.put_own(value).await,
                4 => self.delete_own().await,
                5 | 6 => self.append(value).await,
                _ => {
                    let key = format!("kappa:o:{}", self.dice.random_range(0..=round / 2));
                    self.read(&key).await
                }
            };
            if let Err(Problem::Refused(cause)) = done {
                self.history.lock().refused(&cause);
            }
            clock::sleep(Duration::from_millis(self.dice.random_range(0..200))).await;
        }
    }

    fn bytes(&mut self, value: u64) -> Vec<u8> {
        let mut bytes = value.to_be_bytes().to_vec();
        if self.dice.random_bool(0.1) {
            bytes.resize(LARGE, 7);
        }
        bytes
    }

    async fn put_once(&mut self, key: &str, value: u64) -> Result<(), Problem> {
        let bytes = self.bytes(value);
        if let Outcome::Done(_) = self.replicas.put(new(key, &bytes, None)).await? {
            self.history.lock().put_once(key, value);
        }
        Ok(())
    }

    async fn put_own(&mut self, value: u64) -> Result<(), Problem> {
        let key = format!("kappa:o:own/{value}");
        self.put_once(&key, value).await?;
        self.own.push(key);
        Ok(())
    }

    async fn delete_own(&mut self) -> Result<(), Problem> {
        let Some(key) = self.own.pop() else { return Ok(()) };
        self.history.lock().deletes(&key);
        self.replicas.delete(std::slice::from_ref(&key), None).await?;
        Ok(())
    }

    async fn replace(&mut self, value: u64) -> Result<(), Problem> {
        let before = self.replicas.get_named(AGAIN).await?.map(|(id, _)| id);
        let bytes = self.bytes(value);
        if let Outcome::Done(_) = self.replicas.put(new(AGAIN, &bytes, before)).await? {
            self.history.lock().replaced(AGAIN, before, value);
        }
        Ok(())
    }

    async fn read(&mut self, key: &str) -> Result<(), Problem> {
        let expected = self.history.lock().expected(key);
        let found = self.replicas.get(key).await?;
        self.history
            .lock()
            .read(key, expected, found.as_deref().and_then(number));
        Ok(())
    }

    /// Appends a batch to the journal under the lease that it has, or takes the lease, as a coordinator does that resumes a run.
    async fn append(&mut self, value: u64) -> Result<(), Problem> {
        let Some((guard, next)) = self.lease.clone() else {
            return match self.dice.random_bool(0.2) {
                true => self.take_lease().await,
                false => Ok(()),
            };
        };
        let previous = match next.checked_sub(1) {
            Some(before) => batch_key(before),
            None => LEASE.to_string(),
        };
        let (key, bytes) = (batch_key(next), self.bytes(value));
        // Whoever fails does not know whether it is written, and writes nothing more.
        self.lease = None;
        let put = New {
            guard: Some(&guard),
            previous: Some(&previous),
            ..new(&key, &bytes, None)
        };
        match self.replicas.put(put).await? {
            Outcome::Done(_) => {
                self.history.lock().appended(&key, value, &guard.id);
                self.lease = Some((guard, next + 1));
            }
            Outcome::Fenced => {}
            other => self
                .history
                .lock()
                .holder_hears(&guard.id, &format!("{other:?} of {key}")),
        }
        Ok(())
    }

    async fn take_lease(&mut self) -> Result<(), Problem> {
        let before = self.replicas.get_named(LEASE).await?.map(|(id, _)| id);
        let Outcome::Done(id) = self.replicas.put(new(LEASE, b"held", before)).await? else {
            return Ok(());
        };
        let batches = self.history.lock().leased(before, id);
        self.replicas.align("kappa:j:run/*").await?;
        let keys = self.replicas.list("kappa:j:run/batch/*").await?;
        let next = keys.len() as u64;
        self.history.lock().opened(id, batches, keys);
        let guard = Guard {
            key: LEASE.to_string(),
            id,
        };
        self.lease = Some((guard, next));
        Ok(())
    }
}
