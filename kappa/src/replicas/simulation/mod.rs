//! The replicas in a world of their own: servers, a network that is split at any time, and a clock that is ahead as soon as nobody has anything to do.
//!
//! Everything but the servers and the network is what programs run: what decides ([`super::view`]) and what does ([`super::membership`], [`super::heal`],
//! [`super::values`]). [`server`] answers the commands that Redis would be sent, scripts among them; [`history`] says what must never happen; [`world`] is one
//! story, told by its seed: [`work`] is what its clients do, and [`faults`] what happens to them and to their servers, several things at a time. What a message meets on its way is decided by the dice: time, a link that is down (it waits, and arrives late), a server that has
//! ended meanwhile (it is lost).

pub(super) mod clock;
mod faults;
mod history;
mod server;
mod tests;
mod twins;
mod work;
mod world;

use super::line::Line;
use super::server::Trouble;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redis::{Cmd, RedisError, Value};
use server::Server;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// How often a message that cannot pass tries again.
const AGAIN: Duration = Duration::from_millis(20);

thread_local! {
    static NAMES: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
}

/// What is to be unique on this thread comes from this seed, or from the system again.
fn name_by(seed: Option<u64>) {
    NAMES.set(seed.map(SmallRng::seed_from_u64));
}

/// A name, if a simulation is going on here.
pub(super) fn uuid() -> Option<uuid::Uuid> {
    NAMES.with_borrow_mut(|names| names.as_mut().map(|names| uuid::Uuid::from_u128(names.random())))
}

/// All servers, and what lies between them and the clients.
struct Shared {
    servers: Vec<Server>,
    /// By how many faults each link is down, by client and server.
    down: HashMap<(usize, usize), u32>,
    /// By how many faults each client stands still: what it sends and what it is sent waits.
    frozen: HashMap<usize, u32>,
    dice: SmallRng,
}

impl Shared {
    /// Whether nothing passes between these two.
    fn is_cut(&self, client: usize, server: usize) -> bool {
        let is_any = |count: Option<&u32>| count.is_some_and(|count| *count > 0);
        is_any(self.down.get(&(client, server))) || is_any(self.frozen.get(&client))
    }
}

/// The network as one client has it.
#[derive(Clone)]
pub(super) struct Network {
    client: usize,
    shared: Arc<Mutex<Shared>>,
}

/// One connection of a client to a process of a server. It ends with that process.
#[derive(Clone)]
pub(super) struct Connection {
    requests: mpsc::UnboundedSender<(Vec<Cmd>, Reply)>,
}

/// Where the answers go.
type Reply = oneshot::Sender<Result<Vec<Value>, RedisError>>;

impl Connection {
    /// Sends commands in one message, which are answered in one.
    pub(super) async fn ask_all(&self, cmds: Vec<Cmd>) -> Result<Vec<Value>, RedisError> {
        let (sender, receiver) = oneshot::channel();
        self.requests.send((cmds, sender)).map_err(|_| broken())?;
        receiver.await.unwrap_or_else(|_| Err(broken()))
    }
}

fn broken() -> RedisError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

impl Network {
    /// Connects to the server of this name. What carries the requests ends with the handle that is added to the drivers.
    pub(super) async fn connect(&self, name: &str, drivers: &mut Vec<AbortHandle>) -> Result<Line, Trouble> {
        let server = {
            let shared = self.shared.lock();
            shared.servers.iter().position(|server| server.name == name)
        };
        let Some(server) = server else {
            return Err(Trouble::Unwilling(format!("there is no server {name}")));
        };
        let process = loop {
            self.delay().await;
            let shared = self.shared.lock();
            let there = &shared.servers[server];
            match there.process() {
                _ if shared.is_cut(self.client, server) => {}
                Some(process) if there.refusals == 0 => break process,
                _ => return Err(Trouble::Gone("connection refused".to_string())),
            }
        };
        let (sender, mut receiver) = mpsc::unbounded_channel::<(Vec<Cmd>, Reply)>();
        let network = self.clone();
        let driver = tokio::spawn(async move {
            while let Some((cmds, reply)) = receiver.recv().await {
                let (network, process) = (network.clone(), process.clone());
                // What is on its way arrives, whether or not somebody still waits for the answer.
                let carried = tokio::spawn(async move { network.carry(server, &process, &cmds).await });
                match carried.await {
                    Ok(Some(answer)) => drop(reply.send(answer)),
                    _ => return,
                }
            }
        });
        drivers.push(driver.abort_handle());
        Ok(Line::Simulated(Connection { requests: sender }))
    }

    /// Brings a request to the server and its answer back; nothing if that process has ended.
    async fn carry(&self, server: usize, process: &str, cmds: &[Cmd]) -> Option<Result<Vec<Value>, RedisError>> {
        self.pass(server, process).await?;
        let answers = {
            let mut shared = self.shared.lock();
            cmds.iter().map(|cmd| shared.servers[server].answer(cmd)).collect()
        };
        self.pass(server, process).await?;
        Some(answers)
    }

    async fn pass(&self, server: usize, process: &str) -> Option<()> {
        self.delay().await;
        loop {
            {
                let shared = self.shared.lock();
                let there = &shared.servers[server];
                if there.process().as_deref() != Some(process) {
                    return None;
                }
                if there.pauses == 0 && !shared.is_cut(self.client, server) {
                    return Some(());
                }
            }
            clock::sleep(AGAIN).await;
        }
    }

    async fn delay(&self) {
        let micros = {
            let mut shared = self.shared.lock();
            match shared.dice.random_range(0..16) {
                0..=5 => 0,
                6..=13 => shared.dice.random_range(1..500),
                14 => shared.dice.random_range(500..5000),
                _ => shared.dice.random_range(5000..100_000),
            }
        };
        if micros > 0 {
            clock::sleep(Duration::from_micros(micros)).await;
        }
    }
}
