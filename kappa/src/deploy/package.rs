//! The package of a function: a zip with one executable file, `bootstrap`.
//!
//! Guarantees that the same program always gives the same bytes, so that Lambda's hash of the code says whether it has changed; and that a package
//! that is over one of Lambda's limits is refused before anything is made.

use sha2::{Digest, Sha256};
use std::io::{self, Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The largest package that can be sent to Lambda itself; a larger one is sent to S3 first (Lambda's quotas: 50 MB).
pub(crate) const DIRECT_LIMIT: u64 = 50 << 20;

/// The largest program (Lambda's quotas: 250 MB unzipped).
pub(crate) const UNZIPPED_LIMIT: u64 = 250 << 20;

/// The file that the runtime `provided.al2023` starts.
const FILE: &str = "bootstrap";

/// A zip, and what Lambda says of it.
pub(crate) struct Package {
    pub(crate) bytes: Vec<u8>,
    /// SHA-256 of the bytes in base64, as Lambda's `CodeSha256`.
    pub(crate) hash: String,
    /// Size of the program in it.
    pub(crate) unzipped: u64,
}

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("the program has {size} bytes, and Lambda takes at most {UNZIPPED_LIMIT} (250 MB); {}", smaller(*has_symbols))]
    TooLarge { size: u64, has_symbols: bool },
    #[error("cannot make a zip of the program: {0}")]
    Zip(io::Error),
}

/// How a program becomes smaller.
pub(crate) fn smaller(has_symbols: bool) -> &'static str {
    match has_symbols {
        true => "build it with `--profile dist`, and take out its symbols with `strip FILE`",
        false => "build it with `--profile dist`",
    }
}

impl Package {
    pub(crate) fn of(program: &[u8], has_symbols: bool) -> Result<Self, PackageError> {
        let unzipped = program.len() as u64;
        if unzipped > UNZIPPED_LIMIT {
            return Err(PackageError::TooLarge {
                size: unzipped,
                has_symbols,
            });
        }
        let bytes = zip(program).map_err(PackageError::Zip)?;
        let hash = base64(&Sha256::digest(&bytes));
        Ok(Package { bytes, hash, unzipped })
    }

    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether it can be sent to Lambda itself.
    pub(crate) fn is_direct(&self) -> bool {
        self.size() <= DIRECT_LIMIT
    }
}

fn zip(program: &[u8]) -> io::Result<Vec<u8>> {
    // The time is the first that a zip can say: another one would make the same program another package.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(program.len() / 2)));
    zip.start_file(FILE, options)?;
    zip.write_all(program)?;
    Ok(zip.finish()?.into_inner())
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index)) as usize & 63];
            text.push(if index <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_same_program_gives_the_same_package() {
        let program: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let one = Package::of(&program, true).unwrap();
        // A zip counts time in steps of two seconds.
        std::thread::sleep(std::time::Duration::from_millis(2100));
        let other = Package::of(&program, true).unwrap();
        assert!(one.bytes == other.bytes && one.hash == other.hash);
        assert_ne!(Package::of(&program[1..], true).unwrap().hash, one.hash);
    }

    #[test]
    fn a_package_holds_one_executable_file_that_is_the_program() {
        let package = Package::of(b"the program", false).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(package.bytes)).unwrap();
        assert_eq!(archive.len(), 1);
        let mut file = archive.by_name("bootstrap").unwrap();
        assert_eq!(file.unix_mode().unwrap() & 0o777, 0o755);
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "the program");
    }

    #[test]
    fn a_program_that_lambda_would_refuse_is_refused_before() {
        let large = vec![0; UNZIPPED_LIMIT as usize + 1];
        let message = Package::of(&large, true).err().unwrap().to_string();
        assert!(
            message.contains("250 MB") && message.contains("`strip FILE`"),
            "{message}"
        );
    }

    #[test]
    fn base64_is_as_the_rfc_has_it() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }
}
