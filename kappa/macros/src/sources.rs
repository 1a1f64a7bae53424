//! What the crate that is being compiled is made of: a hash of its source files.
//!
//! Guarantees another hash if any file below the package's `src` is another one, wherever it is built: what lies in a frame or in a message is told by its types,
//! and they are in the sources. Dependencies do not count, nor does what a build script makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The hash; 0 if the sources cannot be read.
pub(crate) fn hash() -> u64 {
    static HASH: OnceLock<u64> = OnceLock::new();
    *HASH.get_or_init(|| {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        package.and_then(|package| of(&package.join("src"))).unwrap_or(0)
    })
}

/// FNV-1a over the names and contents of the Rust files, in the order of their names.
fn of(folder: &Path) -> Option<u64> {
    let mut files = Vec::new();
    collect(folder, String::new(), &mut files)?;
    files.sort_unstable();
    let hash = files.iter().fold(0xcbf2_9ce4_8422_2325, |hash, (name, content)| {
        let length = (content.len() as u64).to_le_bytes();
        let bytes = name.as_bytes().iter().chain(&[0]).chain(&length).chain(content);
        bytes.fold(hash, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    });
    Some(hash)
}

/// Names have `/` between their parts on every system.
fn collect(folder: &Path, below: String, files: &mut Vec<(String, Vec<u8>)>) -> Option<()> {
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let name = format!("{below}/{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            collect(&path, name, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((name, fs::read(&path).ok()?));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_text_or_name_below_src_gives_another_hash() {
        let folder = std::env::temp_dir().join(format!("kappa-sources-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner")).expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("written");
        write("lib.rs", "mod inner;");
        write("inner/mod.rs", "struct A { x: u8, y: u8 }");
        write("notes.txt", "");
        let first = of(&folder).expect("a hash");
        write("notes.txt", "of no account");
        assert_eq!(of(&folder), Some(first));
        write("inner/mod.rs", "struct A { y: u8, x: u8 }");
        let second = of(&folder).expect("a hash");
        fs::rename(folder.join("inner/mod.rs"), folder.join("inner/other.rs")).expect("renamed");
        let third = of(&folder).expect("a hash");
        fs::remove_dir_all(&folder).expect("removed");
        assert!(first != second && second != third && first != third);
        assert_eq!(of(&folder), None);
    }
}
