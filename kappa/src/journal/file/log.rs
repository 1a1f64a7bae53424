//! A file of batches, each behind a header that tells it from what a dying process or a failing disk leaves.
//!
//! Guarantees that every batch whose writing was acknowledged is read again, in order; that of the last one, if its writer died in the middle of it, nothing is
//! read; and that a batch which is not as it was written, with others behind it, is an error.
//!
//! ```text
//! file:   MAGIC, salt (8 bytes), batch, batch, ..
//! batch:  length (4 bytes), number in this file (4 bytes), checksum (4 bytes), so many bytes
//! ```
//!
//! The checksum is the CRC-32 of salt, number and content. The salt is another one in each file, so that no content that came from some other journal looks
//! like a batch of this one.

use super::super::records::join;
use super::Durability;
use crate::disk;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"kappa-j1";
const SALT: usize = 8;
const FILE_HEADER: usize = MAGIC.len() + SALT;
const HEADER: usize = 12;

/// What the name of a file ends with that is not complete.
pub(super) const UNFINISHED: &str = "new";

/// Longer ones are written as they are; shorter ones are put behind their headers first, to be one `write`.
const COPIED: usize = 256 << 10;

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum LogError {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for LogError {
    fn from(cause: io::Error) -> Self {
        LogError::Io(cause)
    }
}

/// A file of batches that are appended to.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    salt: [u8; SALT],
    /// The number of the next batch.
    next: u32,
    durability: Durability,
    buffer: Vec<u8>,
}

impl Log {
    /// Makes a new file, with nothing in it; one of that name goes. It is there with its beginning, or not at all.
    pub(super) fn create(path: &Path, durability: Durability) -> io::Result<Self> {
        let salt: [u8; SALT] = rand::random();
        let new = path.with_extension(UNFINISHED);
        let file = disk::create(&new)?;
        disk::append(&file, &new, &[&MAGIC[..], &salt].concat())?;
        disk::sync(&file, &new, durability)?;
        disk::rename(&new, path)?;
        Ok(Self::with(path, file, salt, 0, durability))
    }

    /// Opens a file, and takes from its end what was being written when its writer died.
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, LogError> {
        let content = match fs::read(path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(LogError::Damaged(format!("{} is missing", path.display())));
            }
            content => content?,
        };
        let (salt, _) = split_header(&content)?;
        let scanned = scan(&content, salt)?;
        let mut file = File::options().write(true).open(path)?;
        file.set_len(scanned.end as u64)?;
        file.seek(SeekFrom::End(0))?;
        #[cfg(test)]
        disk::lossy::note(|| disk::lossy::Step::Truncate(path.to_path_buf(), scanned.end as u64));
        disk::sync(&file, path, durability)?;
        Ok(Self::with(path, file, salt, scanned.batches.len() as u32, durability))
    }

    fn with(path: &Path, file: File, salt: [u8; SALT], next: u32, durability: Durability) -> Self {
        Log {
            path: path.to_path_buf(),
            file,
            salt,
            next,
            durability,
            buffer: Vec::new(),
        }
    }

    /// Waits until everything is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        disk::sync(&self.file, &self.path, Durability::Machine)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one batch of records.
    pub(super) fn append(&mut self, records: &[Vec<u8>]) -> io::Result<()> {
        let content = join(records);
        let header = header(&self.salt, self.next, &content)?;
        if content.len() <= COPIED {
            self.buffer.clear();
            self.buffer.extend_from_slice(&header);
            self.buffer.extend_from_slice(&content);
            disk::append(&self.file, &self.path, &self.buffer)?;
        } else {
            disk::append(&self.file, &self.path, &header)?;
            disk::append(&self.file, &self.path, &content)?;
        }
        disk::sync(&self.file, &self.path, self.durability)?;
        self.next += 1;
        Ok(())
    }

    /// The batches, in order.
    pub(super) fn read(&self) -> Result<Vec<Vec<u8>>, LogError> {
        let mut content = Vec::new();
        File::open(&self.path)?.read_to_end(&mut content)?;
        let (salt, _) = split_header(&content)?;
        let scanned = scan(&content, salt)?;
        if salt != self.salt || scanned.batches.len() as u64 != u64::from(self.next) {
            return Err(LogError::Damaged(format!(
                "of {} batches {} are there",
                self.next,
                scanned.batches.len()
            )));
        }
        Ok(scanned.batches.iter().map(|batch| batch.to_vec()).collect())
    }
}

/// Writes a file with one batch of this number.
pub(super) fn write_whole(path: &Path, number: u64, content: &[u8], durability: Durability) -> io::Result<()> {
    let salt: [u8; SALT] = number.to_be_bytes();
    let file = disk::create(path)?;
    disk::append(&file, path, &[&MAGIC[..], &salt, &header(&salt, 0, content)?].concat())?;
    disk::append(&file, path, content)?;
    disk::sync(&file, path, durability)
}

/// Whether a file of batches is there of which anything was written behind its length.
pub(super) fn has_beginning(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mut block = vec![0; 1 << 16];
    let mut length = 0;
    let mut is_blank = true;
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => {
                length += read;
                is_blank &= block[..read].iter().all(|byte| *byte == 0);
            }
        }
        if !is_blank && length >= FILE_HEADER {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads what [`write_whole`] has written.
pub(super) fn read_whole(path: &Path, number: u64) -> Result<Vec<u8>, LogError> {
    let content = fs::read(path)?;
    let (salt, rest) = split_header(&content)?;
    match batch_at(rest, &number.to_be_bytes(), 0) {
        Some(batch) if salt == number.to_be_bytes() && FILE_HEADER + HEADER + batch.len() == content.len() => {
            Ok(batch.to_vec())
        }
        _ => Err(LogError::Damaged(format!("{} is damaged", path.display()))),
    }
}

struct Scanned<'a> {
    batches: Vec<&'a [u8]>,
    /// Where the last one ends.
    end: usize,
}

/// The batches behind the header, which must have been looked at.
fn scan(content: &[u8], salt: [u8; SALT]) -> Result<Scanned<'_>, LogError> {
    let mut batches = Vec::new();
    let mut end = FILE_HEADER;
    while let Some(batch) = batch_at(&content[end..], &salt, batches.len() as u32) {
        batches.push(batch);
        end += HEADER + batch.len();
    }
    // What follows was being written, or else it is damaged: then there may be whole ones behind it, with a number that leaves room for those between.
    let next = batches.len() as u32;
    let most = u32::try_from((content.len() - end) / HEADER).unwrap_or(u32::MAX);
    let follows = |start: usize| {
        let rest = &content[start..];
        let Some(header) = rest.first_chunk().map(Header::read) else {
            return false;
        };
        // Seen before the content is summed up, which is done for few places of a long piece then.
        let is_chained = || match rest.get(HEADER.saturating_add(header.length)..) {
            Some(behind) => behind
                .first_chunk()
                .is_none_or(|behind| Header::read(behind).number == header.number.wrapping_add(1)),
            None => false,
        };
        header
            .number
            .checked_sub(next)
            .is_some_and(|ahead| 0 < ahead && ahead <= most)
            && is_chained()
            && batch_at(rest, &salt, header.number).is_some()
    };
    match (end + 1..content.len()).find(|start| follows(*start)) {
        Some(start) => Err(LogError::Damaged(format!(
            "{} bytes at {end} are not what was written there, and there is more behind them",
            start - end
        ))),
        None => Ok(Scanned { batches, end }),
    }
}

/// The salt, and what is behind the file's header.
fn split_header(content: &[u8]) -> Result<([u8; SALT], &[u8]), LogError> {
    let rest = content
        .strip_prefix(&MAGIC[..])
        .and_then(|rest| rest.split_first_chunk());
    match rest {
        Some((salt, rest)) => Ok((*salt, rest)),
        None => Err(LogError::Damaged(
            "a file does not begin as those of this version of Kappa do".to_string(),
        )),
    }
}

fn header(salt: &[u8; SALT], number: u32, content: &[u8]) -> io::Result<[u8; HEADER]> {
    let length = u32::try_from(content.len())
        .map_err(|_| io::Error::other(format!("{} bytes at once are more than 4 GB", content.len())))?;
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&number.to_le_bytes());
    header[8..].copy_from_slice(&checksum(salt, number, content).to_le_bytes());
    Ok(header)
}

/// What is written before a batch.
struct Header {
    length: usize,
    number: u32,
    checksum: u32,
}

impl Header {
    fn read(bytes: &[u8; HEADER]) -> Self {
        let [l0, l1, l2, l3, n0, n1, n2, n3, c0, c1, c2, c3] = *bytes;
        Header {
            length: u32::from_le_bytes([l0, l1, l2, l3]) as usize,
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            checksum: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }
}

/// The batch that begins here, if it has this number and is as it was written.
fn batch_at<'a>(content: &'a [u8], salt: &[u8; SALT], number: u32) -> Option<&'a [u8]> {
    let (header, rest) = content.split_first_chunk()?;
    let header = Header::read(header);
    if header.number != number {
        return None;
    }
    let batch = rest.get(..header.length)?;
    (header.checksum == checksum(salt, number, batch)).then_some(batch)
}

fn checksum(salt: &[u8; SALT], number: u32, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(salt);
    hasher.update(&number.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}
