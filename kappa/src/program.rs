//! Which program this is: the identity of its executable, by which a run knows that its coordinator is still of the same build.
//!
//! A frame of a continuation says of which source its function was; but the types of what is in it may have changed all the same, and then its bytes can be
//! read as something else, silently. So a run belongs to a build of its program. The linker's build id says which one it is; an executable without one is
//! told by its content.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::OnceLock;

/// No note, and no table of segments, is longer.
const MOST: u64 = 1 << 20;

/// What identifies this program's build, with the name of its file behind a space; nothing if it cannot be read.
pub(crate) fn identity() -> &'static str {
    static IDENTITY: OnceLock<String> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let name = std::env::current_exe().unwrap_or_default();
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // What runs, also if another file has taken its place meanwhile.
        let running = Path::new("/proc/self/exe");
        let path = match running.exists() {
            true => running.to_path_buf(),
            false => std::env::current_exe().unwrap_or_default(),
        };
        match of_file(&path) {
            Ok(id) => format!("{id} {name}"),
            Err(cause) => {
                tracing::warn!(%cause, "this program's executable cannot be read: its runs do not notice if another build goes on with them");
                String::new()
            }
        }
    })
}

/// Whether both are known, and are not of the same build. The name of the file does not matter.
pub(crate) fn differ(one: &str, other: &str) -> bool {
    let id = |identity: &str| identity.split(' ').next().unwrap_or_default().to_string();
    let (one, other) = (id(one), id(other));
    !one.is_empty() && !other.is_empty() && one != other
}

/// As messages name it.
pub(crate) fn shown(identity: &str) -> String {
    match identity.split_once(' ') {
        Some((id, name)) => format!("build {id} of `{name}`"),
        None => format!("build {identity}"),
    }
}

fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    match build_id(&mut file) {
        Ok(Some(id)) => Ok(id.iter().map(|byte| format!("{byte:02x}")).collect()),
        Ok(None) | Err(_) => by_content(&mut file),
    }
}

fn by_content(file: &mut File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = crc32fast::Hasher::new();
    let mut length = 0;
    let mut block = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(format!("{:08x}-{length:x}", hasher.finalize()));
        }
        hasher.update(&block[..read]);
        length += read as u64;
    }
}

/// The note that the linker has left (`NT_GNU_BUILD_ID`), in a file of 64 bits whose lowest bytes come first.
fn build_id(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    const NOTE: u32 = 4;
    let header = at(file, 0, 64)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(None);
    }
    let (table, size, count) = (number(&header, 32, 8), number(&header, 54, 2), number(&header, 56, 2));
    if size < 56 {
        return Ok(None);
    }
    for entry in at(file, table, size * count)?.chunks_exact(size as usize) {
        if number(entry, 0, 4) == u64::from(NOTE)
            && let Some(id) = id_among(&at(file, number(entry, 8, 8), number(entry, 32, 8))?)
        {
            return Ok(Some(id.to_vec()));
        }
    }
    Ok(None)
}

fn id_among(mut notes: &[u8]) -> Option<&[u8]> {
    const BUILD_ID: u64 = 3;
    while notes.len() >= 12 {
        let (name, content, kind) = (number(notes, 0, 4), number(notes, 4, 4), number(notes, 8, 4));
        let name_end = 12 + usize::try_from(name).ok()?.next_multiple_of(4);
        let content_end = usize::try_from(content).ok()?.checked_add(name_end)?;
        let found = notes.get(name_end..content_end)?;
        if kind == BUILD_ID && notes.get(12..16) == Some(b"GNU\0") && !found.is_empty() {
            return Some(found);
        }
        notes = notes.get(content_end.next_multiple_of(4)..)?;
    }
    None
}

fn at(file: &mut File, start: u64, length: u64) -> io::Result<Vec<u8>> {
    if length > MOST {
        return Err(io::Error::other("a table of the executable is too long"));
    }
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; length as usize]; // Bounded just above.
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The number of so many bytes there, which the caller knows to be there.
fn number(bytes: &[u8], start: usize, length: usize) -> u64 {
    bytes[start..start + length]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_build_and_not_by_its_name() {
        let own = std::env::current_exe().expect("this test");
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("other");
        std::fs::copy(&own, &copy).expect("a copy");
        let id = of_file(&own).expect("an id");
        assert!(identity().starts_with(&id), "{id}: {}", identity());
        assert_eq!(of_file(&copy).expect("an id"), id);
        assert!(differ(&format!("{id} one"), "aa two") && !differ(&format!("{id} one"), &format!("{id} two")));
        assert!(!differ("", identity()), "what is not known is not refused");
        assert_eq!(shown("ab word"), "build ab of `word`");
    }

    #[test]
    fn an_executable_without_a_build_id_is_known_by_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let id = |content: &[u8]| {
            let path = folder.path().join("program");
            std::fs::write(&path, content).expect("written");
            of_file(&path).expect("an id")
        };
        let script = id(b"#!/bin/sh");
        assert_eq!(script, id(b"#!/bin/sh"));
        assert_ne!(script, id(b"#!/bin/sh\n"));
        // What only looks like an executable, or is cut.
        for content in [
            &b"\x7fELF\x02\x01"[..],
            &[&b"\x7fELF\x02\x01"[..], &[255; 100]].concat(),
            b"",
        ] {
            assert!(!id(content).is_empty());
        }
    }
}
