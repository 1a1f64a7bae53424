//! One story: clients that read and write, and what happens to them and to their servers meanwhile.

use super::super::clock;
use super::super::{Addresses, Condition, Replicas};
use super::faults::{self, Fault};
use super::history::History;
use super::server::Server;
use super::work::{Client, number};
use super::{Network, Shared, name_by};
use futures::future::join_all;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

pub(super) const CLIENTS: usize = 3;

/// So many times something happens.
const EPISODES: usize = 4;

/// How long servers may take to be as they should be, when nothing happens to them any more.
const RECOVERY: Duration = Duration::from_secs(120);

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What was lost, doubled, or gone on with twice.
    pub(super) violations: Vec<String>,
    /// What did not come to an end.
    pub(super) stuck: Vec<String>,
    /// How many writes were acknowledged.
    pub(super) acknowledged: u64,
    /// What happened.
    pub(super) faults: Vec<Vec<Fault>>,
}

struct World {
    shared: Arc<Mutex<Shared>>,
    history: Arc<Mutex<History>>,
    clients: Vec<Arc<Replicas>>,
    dice: SmallRng,
    faults: Vec<Vec<Fault>>,
    stuck: Vec<String>,
}

/// Tells the story of this seed.
pub(super) fn tell(seed: u64) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(super::clock::advance)
        .build()
        .expect("a runtime");
    name_by(Some(seed));
    super::clock::set(true);
    let told = runtime.block_on(async {
        let mut world = World::new(seed);
        world.go().await;
        let history = world.history.lock();
        Told {
            violations: history.violations.clone(),
            stuck: world.stuck.clone(),
            acknowledged: history.acknowledged,
            faults: world.faults.clone(),
        }
    });
    drop(runtime);
    super::clock::set(false);
    name_by(None);
    told
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let count = [2, 3, 3, 3, 4, 5][dice.random_range(0..6)];
        let names: Vec<_> = (0..count).map(|number| format!("s{number}:1")).collect();
        let servers = names.iter().cloned().map(Server::new).collect();
        let shared = Arc::new(Mutex::new(Shared {
            servers,
            down: HashMap::new(),
            frozen: HashMap::new(),
            dice: SmallRng::seed_from_u64(seed ^ 0x5eed),
        }));
        let clients = (0..CLIENTS).map(|client| {
            let shared = shared.clone();
            let network = Network { client, shared };
            // Each is told of them in another order.
            let mut names = names.clone();
            names.rotate_left(client % count);
            let (stop, _) = oneshot::channel();
            Replicas::on(
                Addresses::simulated(&names, &network),
                tokio::runtime::Handle::current(),
                stop,
            )
        });
        World {
            clients: clients.collect(),
            shared,
            history: Arc::default(),
            dice,
            faults: Vec::new(),
            stuck: Vec::new(),
        }
    }

    async fn go(&mut self) {
        let works: Vec<_> = (0..CLIENTS).map(|client| self.work(client)).collect();
        self.until_well("at the beginning").await;
        let count = self.shared.lock().servers.len();
        for _ in 0..EPISODES {
            let faults = faults::choose(&mut self.dice, count);
            self.faults.push(faults.clone());
            join_all(faults.into_iter().map(|fault| fault.happen(self.shared.clone()))).await;
            if !self.until_well("after the last fault").await {
                break;
            }
        }
        works.iter().for_each(tokio::task::JoinHandle::abort);
        let all = self.history.lock().all();
        for client in &self.clients {
            for (key, value) in &all {
                match client.get(key).await {
                    Ok(found) => self
                        .history
                        .lock()
                        .read(key, Some(*value), found.as_deref().and_then(number)),
                    Err(problem) => self.stuck.push(format!("{key} cannot be read at the end: {problem}")),
                }
            }
        }
    }

    /// Waits until all servers have everything, as all clients see it and can vouch for.
    async fn until_well(&mut self, when: &str) -> bool {
        let started = clock::now();
        let is_well = |client: &Arc<Replicas>| {
            let status = client.status();
            status.iter().all(|server| server.condition == Condition::Serving)
                && client
                    .present()
                    .is_some_and(|serving| serving.targets.iter().all(|target| target.is_vouched()))
        };
        while !self.clients.iter().all(is_well) {
            if clock::since(started) > RECOVERY {
                let status: Vec<_> = self.clients.iter().map(|client| client.status()).collect();
                self.stuck
                    .push(format!("the servers do not get together {when}: {status:?}"));
                return false;
            }
            clock::sleep(Duration::from_millis(50)).await;
        }
        true
    }

    /// A client that reads and writes, whatever comes.
    fn work(&self, client: usize) -> tokio::task::JoinHandle<()> {
        let client = Client {
            number: client,
            replicas: self.clients[client].clone(),
            history: self.history.clone(),
            dice: SmallRng::seed_from_u64(self.dice.clone().random::<u64>() ^ client as u64),
            own: Vec::new(),
            lease: None,
        };
        tokio::spawn(client.work())
    }
}
