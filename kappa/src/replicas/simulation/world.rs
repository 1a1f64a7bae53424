//! One story: clients that read and write, and what happens to their servers meanwhile.

use super::super::clock;
use super::super::{Addresses, Condition, New, Outcome, Problem, Replicas};
use super::history::History;
use super::server::Server;
use super::{Network, Shared, name_by};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

const CLIENTS: usize = 3;

/// So many times something happens to the servers.
const FAULTS: usize = 4;

/// How long servers may take to be as they should be, when nothing happens to them any more.
const RECOVERY: Duration = Duration::from_secs(120);

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) violations: Vec<String>,
    /// How many writes were acknowledged.
    pub(super) acknowledged: u64,
    /// What happened to the servers.
    pub(super) faults: Vec<String>,
}

struct World {
    shared: Arc<Mutex<Shared>>,
    history: Arc<Mutex<History>>,
    clients: Vec<Arc<Replicas>>,
    dice: SmallRng,
    faults: Vec<String>,
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
            down: HashSet::new(),
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
        }
    }

    async fn go(&mut self) {
        let works: Vec<_> = (0..CLIENTS).map(|client| self.work(client)).collect();
        self.until_well("at the beginning").await;
        for _ in 0..FAULTS {
            self.fault().await;
            self.until_well("after the last fault").await;
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
                    Err(problem) => self.violated(format!("{key} cannot be read at the end: {problem}")),
                }
            }
        }
    }

    fn violated(&self, what: String) {
        self.history.lock().violations.push(what);
    }

    /// Waits until all servers have everything, as all clients see it and can vouch for.
    async fn until_well(&mut self, when: &str) {
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
                self.violated(format!("the servers do not get together {when}: {status:?}"));
                return;
            }
            clock::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Something happens to the servers or to the network, and is over after a while.
    async fn fault(&mut self) {
        let lasts = Duration::from_millis(self.dice.random_range(100..12_000));
        let count = self.shared.lock().servers.len();
        let one = self.dice.random_range(0..count);
        let fault = match self.dice.random_range(0..7) {
            0..=2 if count > 2 => {
                // Each client loses any of its links.
                let links = (0..CLIENTS).flat_map(|client| (0..count).map(move |server| (client, server)));
                let down: HashSet<_> = links.filter(|_| self.dice.random_bool(0.4)).collect();
                self.shared.lock().down = down.clone();
                clock::sleep(lasts).await;
                self.shared.lock().down.clear();
                format!("links {down:?} down for {lasts:?}")
            }
            0..=2 => {
                // Between two servers a split network is known to be too much.
                self.shared.lock().down = (0..CLIENTS).map(|client| (client, one)).collect();
                clock::sleep(lasts).await;
                self.shared.lock().down.clear();
                format!("server {one} cut off for {lasts:?}")
            }
            3 => {
                self.shared.lock().servers[one].is_paused = true;
                clock::sleep(lasts).await;
                self.shared.lock().servers[one].is_paused = false;
                format!("server {one} paused for {lasts:?}")
            }
            4 => {
                // Some of what it has acknowledged since it saved is not on its disk.
                let since_saved = self.dice.random_bool(0.7).then(|| lasts / 8);
                if let Some(since_saved) = since_saved {
                    self.shared.lock().servers[one].save();
                    clock::sleep(since_saved).await;
                }
                self.shared.lock().servers[one].kill();
                if since_saved.is_some() {
                    self.shared.lock().servers[one].forget_unsaved();
                }
                // Sometimes it is there again before anybody has noticed.
                let lasts = if self.dice.random_bool(0.5) { lasts / 100 } else { lasts };
                clock::sleep(lasts).await;
                self.shared.lock().servers[one].start();
                format!("server {one} killed for {lasts:?}, and has lost the last {since_saved:?}")
            }
            5 => {
                self.shared.lock().servers[one].empty();
                clock::sleep(lasts).await;
                format!("server {one} emptied")
            }
            _ => {
                let key = ["kappa:token", "kappa:view", "kappa:server"][self.dice.random_range(0..3)];
                self.shared.lock().servers[one].lose(key);
                clock::sleep(lasts).await;
                format!("server {one} loses {key}")
            }
        };
        self.faults.push(fault);
    }

    /// A client that reads and writes, whatever comes.
    fn work(&self, client: usize) -> tokio::task::JoinHandle<()> {
        let (replicas, history) = (self.clients[client].clone(), self.history.clone());
        let mut dice = SmallRng::seed_from_u64(self.dice.clone().random::<u64>() ^ client as u64);
        tokio::spawn(async move {
            for round in 0_u64.. {
                let value = round * CLIENTS as u64 + client as u64;
                let (once, again) = (format!("kappa:o:{}", round / 2), "kappa:j:again".to_string());
                let done = match dice.random_range(0..3) {
                    0 => put_once(&replicas, &history, &once, value).await,
                    1 => replace(&replicas, &history, &again, value).await,
                    _ => {
                        read(
                            &replicas,
                            &history,
                            &format!("kappa:o:{}", dice.random_range(0..=round / 2)),
                        )
                        .await
                    }
                };
                if let Err(Problem::Refused(cause)) = done {
                    history.lock().refused(&cause);
                }
                clock::sleep(Duration::from_millis(dice.random_range(0..200))).await;
            }
        })
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.first_chunk()?))
}

fn new<'a>(key: &'a str, value: &'a [u8], replaces: Option<super::super::PutId>) -> New<'a> {
    New {
        key,
        value,
        replaces,
        guard: None,
        previous: None,
    }
}

async fn put_once(replicas: &Replicas, history: &Mutex<History>, key: &str, value: u64) -> Result<(), Problem> {
    if let Outcome::Done(_) = replicas.put(new(key, &value.to_be_bytes(), None)).await? {
        history.lock().put_once(key, value);
    }
    Ok(())
}

async fn replace(replicas: &Replicas, history: &Mutex<History>, key: &str, value: u64) -> Result<(), Problem> {
    let before = replicas.get_named(key).await?.map(|(id, _)| id);
    if let Outcome::Done(_) = replicas.put(new(key, &value.to_be_bytes(), before)).await? {
        history.lock().replaced(key, before, value);
    }
    Ok(())
}

async fn read(replicas: &Replicas, history: &Mutex<History>, key: &str) -> Result<(), Problem> {
    let expected = history.lock().expected(key);
    let found = replicas.get(key).await?;
    history.lock().read(key, expected, found.as_deref().and_then(number));
    Ok(())
}
