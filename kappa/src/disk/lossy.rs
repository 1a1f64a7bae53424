//! A disk that drops, reorders and tears whatever nobody has waited for.
//!
//! Steps are written down while they are done, on this thread; [`Lossy`] then says what a loss of power after any of them could leave: each new name is there or
//! not, whatever came before or after it; each piece of a file is there, or not, or in part, or is zeros.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Create(PathBuf),
    Append(PathBuf, Vec<u8>),
    Truncate(PathBuf, u64),
    Sync(PathBuf),
    SyncFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    MakeFolder(PathBuf),
    Linked {
        path: PathBuf,
        content: Vec<u8>,
        is_synced: bool,
    },
    /// Somebody has been told that so much is safe.
    Acknowledged(usize),
}

thread_local! {
    static STEPS: RefCell<Option<Vec<Step>>> = const { RefCell::new(None) };
}

/// Writes down a step, if steps are written down.
pub(crate) fn note(step: impl FnOnce() -> Step) {
    STEPS.with_borrow_mut(|steps| {
        if let Some(steps) = steps {
            steps.push(step());
        }
    });
}

/// The steps that this does.
pub(crate) fn steps_of(work: impl FnOnce()) -> Vec<Step> {
    STEPS.set(Some(Vec::new()));
    work();
    STEPS.take().unwrap_or_default()
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    /// Where, and what.
    pending: Vec<(usize, Vec<u8>)>,
    length: usize,
}

/// A change of names in one folder.
#[derive(Clone, Debug)]
struct Naming {
    folder: PathBuf,
    gone: Option<PathBuf>,
    new: Option<(PathBuf, Node)>,
}

/// A disk, as far as it is known for sure, and what is on the way to it.
#[derive(Default)]
pub(crate) struct Lossy {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<Naming>,
}

impl Lossy {
    /// The disk after these steps.
    pub(crate) fn after(steps: &[Step]) -> Self {
        let mut disk = Lossy::default();
        for step in steps {
            disk.take(step);
        }
        disk
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Create(path) => {
                self.files.push(Content::default());
                self.name(path, Node::File(self.files.len() - 1));
            }
            Step::Append(path, bytes) => {
                let file = self.file(path);
                file.pending.push((file.length, bytes.clone()));
                file.length += bytes.len();
            }
            Step::Truncate(path, length) => {
                // What is cut off was never acknowledged; the model keeps to the shorter one.
                let file = self.file(path);
                file.length = *length as usize;
                file.durable.truncate(file.length);
                file.pending.retain(|(at, _)| *at < *length as usize);
            }
            Step::Sync(path) => {
                let file = self.file(path);
                for (at, bytes) in std::mem::take(&mut file.pending) {
                    write_at(&mut file.durable, at, &bytes);
                }
            }
            Step::SyncFolder(folder) => {
                let (now, later) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|naming| naming.folder == *folder);
                self.pending = later;
                for naming in now {
                    apply(&mut self.durable, &naming);
                }
            }
            Step::Rename(from, to) => {
                let node = self.names.remove(from).expect("it was made");
                self.names.insert(to.clone(), node);
                self.pending.push(Naming {
                    folder: folder_of(to),
                    gone: Some(from.clone()),
                    new: Some((to.clone(), node)),
                });
            }
            Step::Remove(path) => {
                self.names.remove(path);
                self.pending.push(Naming {
                    folder: folder_of(path),
                    gone: Some(path.clone()),
                    new: None,
                });
            }
            Step::MakeFolder(path) => self.name(path, Node::Folder),
            Step::Linked {
                path,
                content,
                is_synced,
            } => {
                let mut file = Content {
                    length: content.len(),
                    ..Content::default()
                };
                match is_synced {
                    true => file.durable.clone_from(content),
                    false => file.pending.push((0, content.clone())),
                }
                self.files.push(file);
                self.name(path, Node::File(self.files.len() - 1));
            }
            Step::Acknowledged(_) => {}
        }
    }

    fn name(&mut self, path: &Path, node: Node) {
        self.names.insert(path.to_path_buf(), node);
        self.pending.push(Naming {
            folder: folder_of(path),
            gone: None,
            new: Some((path.to_path_buf(), node)),
        });
    }

    fn file(&mut self, path: &Path) -> &mut Content {
        match self.names.get(path) {
            Some(Node::File(number)) => &mut self.files[*number],
            other => panic!("{}: {other:?}", path.display()),
        }
    }

    /// Loses power. What is left of the folder `from` is put into the folder `to`, which is there.
    pub(crate) fn lose_power(&self, seed: u64, from: &Path, to: &Path) {
        let mut dice = SmallRng::seed_from_u64(seed);
        let mut names = self.durable.clone();
        let kept = dice.random_range(0.0..=1.0);
        for naming in &self.pending {
            if dice.random_bool(kept) {
                apply(&mut names, naming);
            }
        }
        for (path, node) in &names {
            let Ok(rest) = path.strip_prefix(from) else { continue };
            let place = to.join(rest);
            // What lies in a folder whose own name is lost is lost.
            if place.parent().is_none_or(|above| !above.is_dir()) {
                continue;
            }
            match node {
                Node::Folder => fs::create_dir(&place).expect("a folder"),
                Node::File(number) => fs::write(&place, self.files[*number].left(&mut dice)).expect("a file"),
            }
        }
    }
}

impl Content {
    fn left(&self, dice: &mut SmallRng) -> Vec<u8> {
        let mut left = self.durable.clone();
        for (at, bytes) in &self.pending {
            match dice.random_range(0..4) {
                0 => {}
                1 => write_at(&mut left, *at, bytes),
                2 => write_at(&mut left, *at, &bytes[..dice.random_range(0..=bytes.len())]),
                _ => write_at(&mut left, *at, &vec![0; bytes.len()]),
            }
        }
        left
    }
}

fn write_at(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, naming: &Naming) {
    if let Some(gone) = &naming.gone {
        names.remove(gone);
    }
    if let Some((path, node)) = &naming.new {
        names.insert(path.clone(), *node);
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_path_buf()
}
