//! Where the record of one run lies: what its recorder writes to. A folder here; Redis servers in [`super::servers`].
//!
//! Guarantees that whoever has opened a place is the only one who writes there, and that a reader at any time finds every line that was appended, as a whole.

use super::about::About;
use super::folder::Lock;
use super::history;
use super::line::Line;
use super::recorder::EVENTS;
use crate::journal::Durability;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CANCEL: &str = "cancel";

/// The record of one run that this process works on. Everything here may block the thread.
pub trait Place: Send {
    /// What messages call it.
    fn name(&self) -> String;

    /// What the run is and how it stands, as it was written last.
    ///
    /// # Errors
    /// If nothing was, or it cannot be read.
    fn about(&self) -> io::Result<About>;

    /// Takes from the end of the events what their last writer has not completed; gives their length in bytes.
    ///
    /// # Errors
    /// If they cannot be read or changed.
    fn mend(&mut self) -> io::Result<u64>;

    /// Reads the events, in order; gives the number of lines that could not be read.
    ///
    /// # Errors
    /// If they cannot be read.
    fn lines(&self, take: &mut dyn FnMut(Line)) -> io::Result<u64>;

    /// Makes it this process's own, until this is dropped. Gives the length of the events in bytes.
    ///
    /// # Errors
    /// If another process works on the run, or it cannot be written.
    fn open(&mut self) -> io::Result<u64>;

    /// Replaces what is said of the run: whoever reads sees the old or the new text, as a whole.
    ///
    /// # Errors
    /// If it cannot be written; the old one stays.
    fn write_about(&mut self, about: &About) -> io::Result<()>;

    /// Adds whole lines to the events.
    ///
    /// # Errors
    /// If they cannot be written.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Whether somebody wants the run cancelled.
    fn is_cancellation_wanted(&self) -> bool;

    /// It is done.
    fn forget_cancellation(&self);

    /// How long an event waits to be written with others.
    fn flush(&self) -> Duration;

    /// Events that have grown to so many bytes take no further details.
    fn most_bytes(&self) -> u64;
}

/// The record in a run's folder.
pub struct InFolder {
    path: PathBuf,
    durability: Durability,
    opened: Option<Opened>,
}

struct Opened {
    events: File,
    _lock: Lock,
}

impl InFolder {
    /// The place in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        InFolder {
            path: path.into(),
            durability: Durability::default(),
            opened: None,
        }
    }

    /// The same, where what is said of the run survives so much. Of its events what is missing is told again from the journal.
    pub fn surviving(self, durability: Durability) -> Self {
        InFolder { durability, ..self }
    }
}

impl Place for InFolder {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn about(&self) -> io::Result<About> {
        About::read(&self.path)
    }

    /// Cuts off a last line that was being written when its writer died.
    fn mend(&mut self) -> io::Result<u64> {
        mend(&self.path.join(EVENTS))
    }

    fn lines(&self, take: &mut dyn FnMut(Line)) -> io::Result<u64> {
        history::lines(&self.path, take)
    }

    fn open(&mut self) -> io::Result<u64> {
        let lock = Lock::take(&self.path)?;
        let mut events = File::options().append(true).create(true).open(self.path.join(EVENTS))?;
        let bytes = events.seek(SeekFrom::End(0))?;
        self.opened = Some(Opened { events, _lock: lock });
        Ok(bytes)
    }

    fn write_about(&mut self, about: &About) -> io::Result<()> {
        about.write(&self.path, self.durability)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.opened {
            Some(opened) => opened.events.write_all(lines),
            None => Err(io::Error::other("it is not open")),
        }
    }

    fn is_cancellation_wanted(&self) -> bool {
        self.path.join(CANCEL).exists()
    }

    fn forget_cancellation(&self) {
        // None there is what is wanted.
        let _ = fs::remove_file(self.path.join(CANCEL));
    }

    fn flush(&self) -> Duration {
        super::recorder::FLUSH
    }

    fn most_bytes(&self) -> u64 {
        super::recorder::MOST_BYTES
    }
}

/// Asks whoever works on the run of this folder to cancel it.
pub(super) fn ask_to_cancel(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let path = folder.join(CANCEL);
    fs::write(&path, "").map_err(|cause| (path, cause))
}

fn mend(events: &Path) -> io::Result<u64> {
    let mut file = match File::options().read(true).write(true).open(events) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(cause) => return Err(cause),
    };
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        // No longer than the block.
        let piece = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(piece)?;
        if let Some(newline) = piece.iter().rposition(|byte| *byte == b'\n') {
            end = start + newline as u64 + 1;
            break;
        }
        end = start;
    }
    file.set_len(end)?;
    Ok(end)
}
