//! The bytes of a file, piece by piece, unpacked if it is packed.

use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, internal_datafusion_err};
use flate2::bufread::MultiGzDecoder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::io::{BufReader, Read};
use std::sync::Arc;
use tokio::runtime::Handle;

/// How much is read at once.
const PIECE: u64 = 1 << 20;

/// Texts of so many bytes are a batch, even if it has few rows.
pub(super) const BATCH_BYTES: usize = 16 << 20;

/// One record has no more bytes than this: it is in memory as a whole.
pub(super) const LARGEST_RECORD: usize = if cfg!(test) { 4 << 20 } else { 256 << 20 };

/// How a file is packed, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// It is as it is.
    Plain,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Packing {
    /// The packing that a name tells, and the name without it.
    pub(crate) fn of(name: &str) -> (Packing, &str) {
        for (ending, packing) in [
            (".gz", Packing::Gzip),
            (".gzip", Packing::Gzip),
            (".zst", Packing::Zstd),
            (".zstd", Packing::Zstd),
        ] {
            let split = name.len().saturating_sub(ending.len());
            if name.is_char_boundary(split) && name[split..].eq_ignore_ascii_case(ending) {
                return (packing, &name[..split]);
            }
        }
        (Packing::Plain, name)
    }
}

/// A file that is being read.
pub(super) enum Pieces {
    Plain {
        store: Arc<dyn ObjectStore>,
        path: Path,
        next: u64,
        end: u64,
    },
    Packed {
        path: Path,
        /// It is with whoever reads the next piece while that is read.
        decoder: Option<Decoder>,
    },
}

/// What unpacks a file: nothing of it was read before the first piece is.
pub(super) enum Decoder {
    New(Packing, BufReader<Stored>),
    Reading(Box<dyn Read + Send>),
}

impl Decoder {
    /// The next piece, which is empty at the end. (Waits: not to be called on a thread that runs tasks.)
    fn next(self) -> std::io::Result<(Decoder, Vec<u8>)> {
        let mut unpacked: Box<dyn Read + Send> = match self {
            Decoder::Reading(unpacked) => unpacked,
            Decoder::New(Packing::Zstd, packed) => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
            Decoder::New(_, packed) => Box::new(MultiGzDecoder::new(packed)),
        };
        let mut piece = Vec::new();
        unpacked.as_mut().take(PIECE).read_to_end(&mut piece)?;
        Ok((Decoder::Reading(unpacked), piece))
    }
}

/// The bytes of a file as they are in its store, for decoders, which know nothing of waiting: not to be read on a thread that
/// runs tasks.
pub(super) struct Stored {
    store: Arc<dyn ObjectStore>,
    path: Path,
    next: u64,
    end: u64,
    runtime: Handle,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = (self.end - self.next).min(buffer.len() as u64);
        if wanted == 0 {
            return Ok(0);
        }
        let range = self.next..self.next + wanted;
        let piece = self.runtime.block_on(self.store.get_range(&self.path, range))?;
        let Some(part) = buffer.get_mut(..piece.len()).filter(|_| piece.len() as u64 == wanted) else {
            return Err(std::io::Error::other(
                "it has another size than when the query was planned",
            ));
        };
        part.copy_from_slice(&piece);
        self.next += wanted;
        Ok(piece.len())
    }
}

impl Pieces {
    /// The whole of a file of this size.
    pub(super) async fn of(store: &Arc<dyn ObjectStore>, path: &Path, size: u64) -> Result<Pieces> {
        let (packing, _) = Packing::of(path.filename().unwrap_or_default());
        if packing == Packing::Plain {
            return Ok(Pieces::from(store, path, 0, size));
        }
        let stored = Stored {
            store: store.clone(),
            path: path.clone(),
            next: 0,
            end: size,
            runtime: Handle::current(),
        };
        let packed = BufReader::with_capacity(PIECE as usize, stored);
        Ok(Pieces::Packed {
            path: path.clone(),
            decoder: Some(Decoder::New(packing, packed)),
        })
    }

    /// A file that is not packed, from here to its end.
    pub(super) fn from(store: &Arc<dyn ObjectStore>, path: &Path, start: u64, size: u64) -> Pieces {
        Pieces::Plain {
            store: store.clone(),
            path: path.clone(),
            next: start,
            end: size,
        }
    }

    /// The next piece, or `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Pieces::Plain { next, end, .. } if *next >= *end => Ok(None),
            Pieces::Plain { store, path, next, end } => {
                let range = *next..(*next + PIECE).min(*end);
                *next = range.end;
                let wanted = range.end - range.start;
                let piece = store.get_range(path, range).await?;
                match piece.len() as u64 == wanted {
                    true => Ok(Some(piece)),
                    false => Err(exec_datafusion_err!(
                        "{} is shorter than it was when the query was planned",
                        shown(path)
                    )),
                }
            }
            Pieces::Packed { path, decoder } => {
                let this = decoder
                    .take()
                    .ok_or_else(|| internal_datafusion_err!("{} was left while it was read", shown(path)))?;
                let read = SpawnedTask::spawn_blocking(move || this.next()).join().await;
                let read = read.map_err(|e| DataFusionError::External(Box::new(e)))?;
                let (next, piece) =
                    read.map_err(|e| exec_datafusion_err!("{} cannot be unpacked: {e}; is it whole?", shown(path)))?;
                *decoder = Some(next);
                Ok((!piece.is_empty()).then(|| piece.into()))
            }
        }
    }
}

/// A file's path, for people.
pub(super) fn shown(path: &Path) -> String {
    format!("/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use std::io::Write;

    #[tokio::test]
    async fn a_packed_file_is_read_and_unpacked_piece_by_piece() {
        let text: String = (0..600_000_u64)
            .map(|i| format!("{:x}\n", i.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        let gzip = packed.finish().unwrap();
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for (name, bytes) in [("t.csv.gz", gzip), ("t.csv.zst", zstd)] {
            assert!(bytes.len() as u64 > 2 * PIECE);
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let (path, size) = (Path::from(name), bytes.len() as u64);
            store.put(&path, bytes.clone().into()).await.unwrap();
            let mut pieces = Pieces::of(&store, &path, size).await.unwrap();
            let mut unpacked = Vec::new();
            while let Some(piece) = pieces.next().await.unwrap() {
                assert!(piece.len() as u64 <= PIECE);
                unpacked.extend_from_slice(&piece);
            }
            assert!(unpacked == text.as_bytes());
            // Bytes that are missing at its end are missed.
            store
                .put(&path, bytes[..bytes.len() - 20].to_vec().into())
                .await
                .unwrap();
            let mut pieces = Pieces::of(&store, &path, size - 20).await.unwrap();
            let said = loop {
                match pieces.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{name} is not whole"),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(said.contains("cannot be unpacked"), "{said}");
        }
    }
}
