//! A folder with the 24 tables: found, checked, or made in the cache.
//!
//! Every file that [`generate`](fn@super::generate) writes says in its Parquet metadata for which scale it was made, so that data of one scale
//! is never taken for that of another. Data from elsewhere says nothing of the kind and is taken as it is.

use super::generate::{GenerateError, Options, generate};
use super::{Scale, TABLES, Table};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Under this key the Parquet metadata of a generated file holds the scale.
pub(crate) const SCALE_KEY: &str = "tpcds.scale";

/// Why a folder cannot serve as TPC-DS data.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be read.
    #[error("cannot read the data folder {}: {cause}", path.display())]
    Unreadable {
        /// What was opened.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Tables are missing.
    #[error(
        "the data folder {} lacks {missing}; `kappa-tpcds generate --scale {scale} --output {}` makes what is missing",
        path.display(),
        path.display()
    )]
    Incomplete {
        /// The folder.
        path: PathBuf,
        /// The names of the missing tables.
        missing: String,
        /// The scale that was asked for.
        scale: Scale,
    },
    /// A file is damaged.
    #[error("{} is not a readable Parquet file: {cause}; delete its table and generate it again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: ParquetError,
    },
    /// The data was made for another scale.
    #[error("{} was made for scale {found}, not {wanted}; give another folder, or the scale {found}", path.display())]
    OtherScale {
        /// The first file that does not fit.
        path: PathBuf,
        /// Its scale.
        found: String,
        /// The scale that was asked for.
        wanted: Scale,
    },
    /// There is no place for the cache.
    #[error("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder; give a folder with --data")]
    NoCache,
    /// The cache could not be filled.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

/// A folder that holds all tables at some scale.
#[derive(Clone, Debug)]
pub struct DataFolder {
    path: PathBuf,
    scale: Scale,
}

impl DataFolder {
    /// Opens a folder that must hold all tables already, each file with a readable footer.
    pub fn open(path: &Path, scale: Scale) -> Result<Self, FolderError> {
        fs::read_dir(path).map_err(|cause| FolderError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        let missing = missing_tables(path, scale)?;
        if missing.is_empty() {
            return Ok(DataFolder {
                path: path.to_owned(),
                scale,
            });
        }
        let missing = match missing.len() {
            24 => "every table".to_owned(),
            _ => missing.iter().map(|table| table.name).collect::<Vec<_>>().join(", "),
        };
        Err(FolderError::Incomplete {
            path: path.to_owned(),
            missing,
            scale,
        })
    }

    /// Opens the cache folder of this scale, after generating the tables that it lacks.
    pub fn cached(scale: Scale, cancelled: &AtomicBool) -> Result<Self, FolderError> {
        let path = cache_folder()?.join(format!("scale-{scale}"));
        generate(scale, &path, &Options::default(), cancelled)?;
        Self::open(&path, scale)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file or folder that a table is kept in.
    pub fn path_of(&self, table: &Table) -> PathBuf {
        let single = single_file(&self.path, table);
        if single.is_file() {
            single
        } else {
            self.path.join(table.name)
        }
    }

    /// How much data it holds.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// A number that is another one as soon as any file has been replaced or changed: made of names, lengths and times.
    pub fn fingerprint(&self) -> Result<u64, FolderError> {
        let mut hasher = DefaultHasher::new();
        for table in &TABLES {
            for file in table_files(&self.path, table)? {
                let unreadable = |cause| FolderError::Unreadable {
                    path: file.clone(),
                    cause,
                };
                let metadata = fs::metadata(&file).map_err(unreadable)?;
                let changed = metadata.modified().map_err(unreadable)?;
                (&file, metadata.len(), changed).hash(&mut hasher);
            }
        }
        Ok(hasher.finish())
    }
}

/// Kappa's folder for TPC-DS data: `$XDG_CACHE_HOME/kappa/tpcds` or `~/.cache/kappa/tpcds`.
pub fn cache_folder() -> Result<PathBuf, FolderError> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".cache")));
    cache
        .map(|cache| cache.join("kappa").join("tpcds"))
        .ok_or(FolderError::NoCache)
}

/// The tables that a folder lacks. An error if a file is damaged or made for another scale. A folder that does not exist lacks all.
pub(crate) fn missing_tables(folder: &Path, scale: Scale) -> Result<Vec<&'static Table>, FolderError> {
    let mut missing = Vec::new();
    for table in &TABLES {
        let files = table_files(folder, table)?;
        for file in &files {
            let found = scale_of(file)?;
            if let Some(found) = found.filter(|found| *found != scale.to_string()) {
                return Err(FolderError::OtherScale {
                    path: file.clone(),
                    found,
                    wanted: scale,
                });
            }
        }
        if files.is_empty() {
            missing.push(table);
        }
    }
    Ok(missing)
}

fn single_file(folder: &Path, table: &Table) -> PathBuf {
    folder.join(format!("{}.parquet", table.name))
}

/// The files of a table, in order: `table/*.parquet` or `table.parquet`; none if the table is not there.
fn table_files(folder: &Path, table: &Table) -> Result<Vec<PathBuf>, FolderError> {
    let single = single_file(folder, table);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let path = folder.join(table.name);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(FolderError::Unreadable { path, cause }),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry
            .map_err(|cause| FolderError::Unreadable {
                path: path.clone(),
                cause,
            })?
            .path();
        if file.extension().is_some_and(|extension| extension == "parquet") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The scale for which a file was made, if it says so.
fn scale_of(file: &Path) -> Result<Option<String>, FolderError> {
    let opened = fs::File::open(file).map_err(|cause| FolderError::Unreadable {
        path: file.to_owned(),
        cause,
    })?;
    let reader = SerializedFileReader::new(opened).map_err(|cause| FolderError::Corrupt {
        path: file.to_owned(),
        cause,
    })?;
    let entries = reader.metadata().file_metadata().key_value_metadata();
    let entry = entries.and_then(|entries| entries.iter().find(|entry| entry.key == SCALE_KEY));
    Ok(entry.and_then(|entry| entry.value.clone()))
}
