//! What the file of a program tells of itself, without being run: it may be for another architecture.
//!
//! Guarantees that a file that Lambda could not start is refused before anything is made, with what to do, and that one that may not start there
//! is warned of.

use crate::platform::process::MARK_BEGIN;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The C library of the runtime `provided.al2023`, Amazon Linux 2023: 2.34.
const RUNTIME_GLIBC: u32 = 34;

/// The architectures that Lambda has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    X86,
    Arm,
}

impl Arch {
    /// As Lambda calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Arch::X86 => "x86_64",
            Arch::Arm => "arm64",
        }
    }

    /// The beginning of Rust's names of targets for it.
    fn target(self) -> &'static str {
        match self {
            Arch::X86 => "x86_64",
            Arch::Arm => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A program that can be deployed.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its file's name, without folders.
    pub(crate) name: String,
    pub(crate) arch: Arch,
    /// The version of Kappa that it was made with.
    pub(crate) kappa: String,
    /// The newest version 2.N of the C library that it names, if it names any.
    pub(crate) glibc: Option<u32>,
    /// Whether it holds its symbols' names, which nothing there reads.
    pub(crate) has_symbols: bool,
    pub(crate) bytes: Vec<u8>,
}

/// Why a file cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("cannot read the program {path}: {cause}")]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error(
        "{path} is not a program for Linux (an ELF executable for 64-bit x86 or ARM): {what}; build it on Linux, or for a target of Linux"
    )]
    NotElf { path: PathBuf, what: &'static str },
    #[error(
        "{path} is for {found}, and --arch says {wanted}; build it for {target}-unknown-linux-gnu, or leave out --arch"
    )]
    OtherArch {
        path: PathBuf,
        found: Arch,
        wanted: Arch,
        target: &'static str,
    },
    #[error(
        "{path} is not a program made with Kappa; its `main` calls `kappa::main`, or begins with `kappa::serve_if_worker()`"
    )]
    NotKappa { path: PathBuf },
}

impl Program {
    /// Reads a program's file; `wanted` is the architecture that it must be for.
    pub(crate) fn read(path: &Path, wanted: Option<Arch>) -> Result<Self, ProgramError> {
        let unreadable = |cause| ProgramError::Unreadable {
            path: path.to_path_buf(),
            cause,
        };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        Self::inspect(path, bytes, wanted)
    }

    fn inspect(path: &Path, bytes: Vec<u8>, wanted: Option<Arch>) -> Result<Self, ProgramError> {
        let path = || path.to_path_buf();
        let arch = arch(&bytes).map_err(|what| ProgramError::NotElf { path: path(), what })?;
        if let Some(wanted) = wanted.filter(|wanted| *wanted != arch) {
            return Err(ProgramError::OtherArch {
                path: path(),
                found: arch,
                wanted,
                target: wanted.target(),
            });
        }
        let kappa = made_with(&bytes).ok_or_else(|| ProgramError::NotKappa { path: path() })?;
        let name = path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Program {
            name,
            arch,
            kappa,
            glibc: newest_glibc(&bytes),
            has_symbols: find(&bytes, b"\0.symtab\0").is_some(),
            bytes,
        })
    }

    /// Why it may not start there, if that is so.
    pub(crate) fn glibc_warning(&self) -> Option<String> {
        let version = self.glibc.filter(|version| *version > RUNTIME_GLIBC)?;
        Some(format!(
            "{} names glibc 2.{version}, and Lambda's runtime (Amazon Linux 2023) has 2.{RUNTIME_GLIBC}: it will not start there if it needs that; \
             build it in a container of Amazon Linux 2023, or for the target {}-unknown-linux-musl",
            self.name,
            self.arch.target()
        ))
    }
}

/// What the head of an ELF file says: `e_ident` (class 64, little-endian), `e_type` (executable, or position-independent), `e_machine`.
fn arch(bytes: &[u8]) -> Result<Arch, &'static str> {
    let Some(head) = bytes.first_chunk::<20>() else {
        return Err("it is too short");
    };
    if head[..4] != *b"\x7fELF" {
        return Err("it does not begin as one");
    }
    if head[4] != 2 || head[5] != 1 {
        return Err("it is not for 64 bits, little-endian");
    }
    if !matches!(u16::from_le_bytes([head[16], head[17]]), 2 | 3) {
        return Err("it is an object file, or a core");
    }
    match u16::from_le_bytes([head[18], head[19]]) {
        62 => Ok(Arch::X86),
        183 => Ok(Arch::Arm),
        _ => Err("it is for another processor"),
    }
}

/// The version in the mark that every program made with Kappa holds.
fn made_with(bytes: &[u8]) -> Option<String> {
    let begin = MARK_BEGIN.as_bytes();
    let mut rest = bytes;
    while let Some(at) = find(rest, begin) {
        rest = &rest[at + begin.len()..];
        let end = rest.iter().take(32).position(|byte| *byte == b';');
        let version = end.and_then(|end| std::str::from_utf8(&rest[..end]).ok());
        if let Some(version) = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit())) {
            return Some(version.to_string());
        }
    }
    None
}

/// The largest N of `GLIBC_2.N`: the names of the versions of symbols that are taken from the C library.
fn newest_glibc(bytes: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"\0GLIBC_2.";
    let mut newest = None;
    let mut rest = bytes;
    while let Some(at) = find(rest, NAME) {
        rest = &rest[at + NAME.len()..];
        let digits = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
        newest = newest.max(Some(number));
    }
    newest
}

/// Where something is among many bytes.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        let at = from + at;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::process::MARK;

    fn elf(machine: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        bytes.extend([machine, 0]);
        bytes.extend(rest);
        bytes
    }

    fn inspect(bytes: Vec<u8>, wanted: Option<Arch>) -> Result<Program, ProgramError> {
        Program::inspect(Path::new("some/program"), bytes, wanted)
    }

    #[test]
    fn a_program_tells_its_architecture_its_kappa_and_its_c_library() {
        let mark = format!("junk{MARK}\0GLIBC_2.4\0GLIBC_2.36\0GLIBC_2.2.5\0.symtab\0");
        let program = inspect(elf(62, mark.as_bytes()), Some(Arch::X86)).unwrap();
        assert_eq!((program.name.as_str(), program.arch), ("program", Arch::X86));
        assert_eq!(program.kappa, env!("CARGO_PKG_VERSION"));
        assert_eq!(program.glibc, Some(36));
        assert!(program.has_symbols);
        let warning = program.glibc_warning().unwrap();
        assert!(
            warning.contains("2.36") && warning.contains("x86_64-unknown-linux-musl"),
            "{warning}"
        );
    }

    #[test]
    fn a_program_that_names_no_newer_c_library_is_not_warned_of() {
        for names in ["", "\0GLIBC_2.34\0GLIBC_2.17\0"] {
            let program = inspect(elf(183, format!("{MARK}{names}").as_bytes()), None).unwrap();
            assert_eq!(program.arch, Arch::Arm);
            assert_eq!(program.glibc_warning(), None);
            assert!(!program.has_symbols);
        }
    }

    #[test]
    fn what_lambda_could_not_start_is_refused_with_the_way_out() {
        let refused = |bytes, wanted| inspect(bytes, wanted).unwrap_err().to_string();
        for bytes in [
            Vec::new(),
            b"#!/bin/sh\nexec something\n".to_vec(),
            elf(40, MARK.as_bytes()),
        ] {
            let message = refused(bytes, None);
            assert!(message.contains("not a program for Linux"), "{message}");
        }
        let message = refused(elf(183, MARK.as_bytes()), Some(Arch::X86));
        assert!(message.contains("is for arm64, and --arch says x86_64"), "{message}");
        let message = refused(elf(62, b"something else"), None);
        assert!(message.contains("kappa::serve_if_worker"), "{message}");
        let message = Program::read(Path::new("/nonexistent"), None).unwrap_err().to_string();
        assert!(message.contains("cannot read the program /nonexistent"), "{message}");
    }

    #[test]
    fn the_words_alone_do_not_make_a_program_of_kappa() {
        assert!(MARK.starts_with(MARK_BEGIN));
        let texts = format!("{MARK_BEGIN}|{MARK_BEGIN}x1;{MARK_BEGIN}");
        assert!(inspect(elf(62, texts.as_bytes()), None).is_err());
    }
}
