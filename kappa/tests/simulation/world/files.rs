//! The files of the coordinator's machine, which outlive it.

use super::faults::Class;
use super::{Epoch, World};
use async_trait::async_trait;
use bytes::Bytes;
use kappa::coordinator::driver::{Draft, Files, Gate};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What every name stands for. Two that write to one name write to one file, as on a real machine.
pub(crate) type Disk = BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>;

/// The files, as the coordinator of one life sees them.
pub(crate) struct SimulatedFiles {
    pub(crate) world: Arc<World>,
    pub(crate) epoch: Epoch,
}

struct SimulatedDraft {
    world: Arc<World>,
    epoch: Epoch,
    path: PathBuf,
    file: Arc<Mutex<Vec<u8>>>,
    written: usize,
}

/// Time passes, and the coordinator may die; whatever it does after that it can record no more.
async fn step(world: &World, epoch: Epoch, place: &'static str) -> io::Result<()> {
    world.pause().await;
    if world.is_alive(epoch) && world.strikes(Class::Coordinator, "coordinator is paused", || place.to_string()) {
        world.coordinator_is_paused(epoch);
    }
    if world.is_paused(epoch) {
        // It goes on as if nothing had happened: somebody else has the run by now.
        let time = world.dice.number(0..2_000_000);
        world.clock.wait(time).await;
        return Ok(());
    }
    if !world.is_alive(epoch) {
        return Err(io::Error::other("the coordinator is dead"));
    }
    if world.strikes(Class::Coordinator, "coordinator dies", || place.to_string()) {
        world.coordinator_dies(epoch);
        return Err(io::Error::other("the coordinator dies"));
    }
    Ok(())
}

#[async_trait]
impl Files for SimulatedFiles {
    async fn place(&self, path: PathBuf) -> io::Result<PathBuf> {
        Ok(path)
    }

    async fn forget(&self, drafts: Vec<PathBuf>) -> io::Result<()> {
        if !drafts.is_empty() {
            step(&self.world, self.epoch, "before drafts are forgotten").await?;
        }
        self.world.disk(|disk| disk.retain(|path, _| !drafts.contains(path)));
        Ok(())
    }

    async fn draft(&self, path: PathBuf, gate: Arc<Gate>) -> io::Result<Option<Box<dyn Draft>>> {
        step(&self.world, self.epoch, "before a draft").await?;
        let Some(_open) = gate.hold() else { return Ok(None) };
        let file = self.world.disk(|disk| disk.entry(path.clone()).or_default().clone());
        file.lock().clear();
        Ok(Some(Box::new(SimulatedDraft {
            world: self.world.clone(),
            epoch: self.epoch,
            path,
            file,
            written: 0,
        })))
    }
}

#[async_trait]
impl Draft for SimulatedDraft {
    async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        step(&self.world, self.epoch, "before a draft is written").await?;
        let mut file = self.file.lock();
        let end = self.written + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[self.written..end].copy_from_slice(&bytes);
        self.written = end;
        Ok(())
    }

    async fn arrive(self: Box<Self>, place: PathBuf, gate: Arc<Gate>) -> io::Result<bool> {
        step(&self.world, self.epoch, "before an object arrives").await?;
        {
            let Some(_open) = gate.hold() else { return Ok(false) };
            let moved = self.world.disk(|disk| {
                let file = disk.remove(&self.path);
                file.map(|file| disk.insert(place.clone(), file))
            });
            if moved.is_none() {
                return Err(io::ErrorKind::NotFound.into());
            }
            self.world.arrived(&place, self.epoch);
        }
        // What it did is done, whether or not it can still say so.
        match step(&self.world, self.epoch, "after an object has arrived").await {
            Ok(()) | Err(_) => Ok(true),
        }
    }

    async fn discard(self: Box<Self>) {
        self.world.pause().await;
        self.world.disk(|disk| disk.remove(&self.path));
    }
}
