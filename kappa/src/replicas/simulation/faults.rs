//! What happens to servers, clients and the network: several things at a time, each of which is over at a moment of its own.
//!
//! Nothing happens that would be too much: at most one server loses something (what it had not saved, a key, everything) before all are well again, and none is
//! ended meanwhile; and of two servers, only one is not as it should be.

use super::super::clock;
use super::{Shared, world::CLIENTS};
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;
use std::sync::Arc;
use std::time::Duration;

/// Most things that happen at a time.
const AT_ONCE: usize = 3;

/// Something that happens, from a moment on and for so long.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    kind: Kind,
    after: Duration,
    lasts: Duration,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Links between clients and servers are down.
    Split(Vec<(usize, usize)>),
    Paused(usize),
    /// It lets nobody in; whoever is connected does not notice.
    Refuses(usize),
    /// It takes nothing that is written.
    TakesNothing(usize),
    /// A client stands still.
    Frozen(usize),
    /// It has all of it when it is started again.
    Killed(usize),
    /// It has what it saved so long before.
    KilledUnsaved(usize, Duration),
    Emptied(usize),
    Loses(usize, &'static str),
}

/// What happens next, to so many servers.
pub(super) fn choose(dice: &mut SmallRng, count: usize) -> Vec<Fault> {
    let lasts = |dice: &mut SmallRng| Duration::from_millis(dice.random_range(100..12_000));
    let mut faults = Vec::new();
    let ends = dice.random_bool(0.6);
    let most = if count > 2 { AT_ONCE } else { 1 };
    for number in 0..dice.random_range(1..=most) {
        let one = dice.random_range(0..count);
        let kind = match (number, ends) {
            (0, true) => match dice.random_range(0..5) {
                0 => Kind::Killed(one),
                1 | 2 => Kind::KilledUnsaved(one, lasts(dice) / 8),
                3 => Kind::Emptied(one),
                _ => Kind::Loses(
                    one,
                    ["kappa:token", "kappa:view", "kappa:server"][dice.random_range(0..3)],
                ),
            },
            (_, ends) => match dice.random_range(0..8) {
                0..=2 => Kind::Split(links(dice, count)),
                3 => Kind::Paused(one),
                4 | 5 => Kind::Refuses(one),
                6 => Kind::TakesNothing(one),
                // Several may be ended if each of them has everything afterwards.
                _ if !ends => Kind::Killed(one),
                _ => Kind::Split(links(dice, count)),
            },
        };
        let after = Duration::from_millis(dice.random_range(0..5000));
        // Sometimes it is over before anybody has noticed.
        let lasts = match dice.random_bool(0.3) {
            true => lasts(dice) / 100,
            false => lasts(dice),
        };
        faults.push(Fault { kind, after, lasts });
    }
    if dice.random_bool(0.3) {
        faults.push(Fault {
            kind: Kind::Frozen(dice.random_range(0..CLIENTS)),
            after: Duration::from_millis(dice.random_range(0..5000)),
            lasts: lasts(dice) * 2,
        });
    }
    faults
}

/// Any links; between two servers only all of one: a network that is split between them is known to be too much.
fn links(dice: &mut SmallRng, count: usize) -> Vec<(usize, usize)> {
    let one = dice.random_range(0..count);
    let all = (0..CLIENTS).flat_map(|client| (0..count).map(move |server| (client, server)));
    match count > 2 {
        true => all.filter(|_| dice.random_bool(0.4)).collect(),
        false => all.filter(|(_, server)| *server == one).collect(),
    }
}

impl Fault {
    /// Returns when it is over.
    pub(super) async fn happen(self, shared: Arc<Mutex<Shared>>) {
        clock::sleep(self.after).await;
        if let Kind::KilledUnsaved(one, before) = self.kind {
            shared.lock().servers[one].save();
            clock::sleep(before).await;
        }
        self.change(&mut shared.lock(), true);
        clock::sleep(self.lasts).await;
        self.change(&mut shared.lock(), false);
    }

    fn change(&self, shared: &mut Shared, begins: bool) {
        let change = |count: &mut u32| match begins {
            true => *count += 1,
            false => *count -= 1,
        };
        match &self.kind {
            Kind::Split(links) => {
                for link in links {
                    change(shared.down.entry(*link).or_default());
                }
            }
            Kind::Paused(one) => change(&mut shared.servers[*one].pauses),
            Kind::Refuses(one) => change(&mut shared.servers[*one].refusals),
            Kind::TakesNothing(one) => shared.servers[*one].takes_nothing = begins.then_some("MISCONF"),
            Kind::Frozen(client) => change(shared.frozen.entry(*client).or_default()),
            Kind::Killed(one) | Kind::KilledUnsaved(one, _) if begins => {
                let server = &mut shared.servers[*one];
                server.kill();
                if let Kind::KilledUnsaved(..) = self.kind {
                    server.forget_unsaved();
                }
            }
            // Two may have killed it.
            Kind::Killed(one) | Kind::KilledUnsaved(one, _) => {
                if !shared.servers[*one].is_up() {
                    shared.servers[*one].start();
                }
            }
            Kind::Emptied(one) if begins => shared.servers[*one].empty(),
            Kind::Loses(one, key) if begins => shared.servers[*one].lose(key),
            Kind::Emptied(_) | Kind::Loses(..) => {}
        }
    }
}
