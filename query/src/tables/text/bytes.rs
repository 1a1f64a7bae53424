//! The bytes of a file, piece by piece, unpacked if it is packed.

use bytes::Bytes;
use datafusion::common::{Result, exec_datafusion_err};
use flate2::bufread::MultiGzDecoder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::io::{Cursor, Read};
use std::sync::Arc;

/// How much is read at once.
const PIECE: u64 = 1 << 20;

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
        unpacked: Box<dyn Read + Send>,
    },
}

impl Pieces {
    /// The whole of a file of this size.
    pub(super) async fn of(store: &Arc<dyn ObjectStore>, path: &Path, size: u64) -> Result<Pieces> {
        let (packing, _) = Packing::of(path.filename().unwrap_or_default());
        if packing == Packing::Plain {
            return Ok(Pieces::from(store, path, 0, size));
        }
        let packed = store.get(path).await?.bytes().await?;
        let unpacked: Box<dyn Read + Send> = match packing {
            Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(Cursor::new(packed))?),
            _ => Box::new(MultiGzDecoder::new(Cursor::new(packed))),
        };
        Ok(Pieces::Packed {
            path: path.clone(),
            unpacked,
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
            Pieces::Packed { path, unpacked } => {
                let mut piece = Vec::new();
                let read = unpacked.as_mut().take(PIECE).read_to_end(&mut piece);
                read.map_err(|e| exec_datafusion_err!("{} cannot be unpacked: {e}; is it whole?", shown(path)))?;
                Ok((!piece.is_empty()).then(|| piece.into()))
            }
        }
    }
}

/// A file's path, for people.
pub(super) fn shown(path: &Path) -> String {
    format!("/{path}")
}
