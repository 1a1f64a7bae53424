//! Which files make which table.
//!
//! A file of data in the folder is a table, and so is a folder of such files, each named after it. Of a table's folder
//! *everything* is read, or the table is refused by name: what is passed over are names that begin with `.` or `_`, and files
//! whose names say that they are no data ([`PASSED_OVER`]).

use super::place::{Entry, Place};
use super::text::Packing;
use crate::error::{QueryError, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Endings of files that lie beside data and are none: texts for people, checksums, and what a writer has not finished.
const PASSED_OVER: [&str; 17] = [
    "md", "html", "pdf", "png", "sql", "py", "sh", "yml", "yaml", "toml", "log", "crc", "md5", "sha1", "sha256", "tmp",
    "swp",
];

/// Names of files that lie beside data and are none.
const PASSED_OVER_NAMES: [&str; 5] = ["README", "LICENSE", "NOTICE", "MD5SUMS", "SHA256SUMS"];

/// Packed files that cannot be read.
const OTHER_PACKINGS: [&str; 8] = ["bz2", "xz", "lz4", "br", "sz", "zip", "7z", "lzo"];

/// The formats a table can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Parquet,
    Csv,
    Json,
}

impl Kind {
    /// The kind that a name tells, whatever the case of its letters, and the name without its endings.
    fn of(name: &str) -> Option<(Kind, &str)> {
        let (packing, plain) = Packing::of(name);
        let (stem, ending) = plain.rsplit_once('.')?;
        let kind = match ending.to_ascii_lowercase().as_str() {
            // Parquet packs its own pages.
            "parquet" if packing == Packing::Plain => Kind::Parquet,
            "csv" => Kind::Csv,
            "json" | "jsonl" | "ndjson" => Kind::Json,
            _ => return None,
        };
        Some((kind, stem))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Parquet => "Parquet",
            Kind::Csv => "CSV",
            Kind::Json => "JSON",
        }
    }
}

/// What a table is read from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) kind: Kind,
    /// Sorted by name: the same folder gives the same plan.
    pub(super) files: Vec<PathBuf>,
}

impl Source {
    /// Whether it is what was found in a folder, and not one file.
    pub(super) fn is_folder(&self, origin: &Path) -> bool {
        self.files != [origin]
    }

    /// What the table is read from now: files may have come into its folder, and others gone.
    pub(super) fn again(&self, place: &Place, origin: &Path) -> Result<Source> {
        if !self.is_folder(origin) {
            return Ok(self.clone());
        }
        let found = source_of_folder(place, origin)?;
        found.ok_or_else(|| QueryError::data(origin, "holds no files of data any more"))
    }
}

/// A table that was found: where, and from what it is read, or why it cannot be.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) origin: PathBuf,
    pub(super) source: Result<Source>,
}

/// The tables of a folder. One that cannot be used is there, too, with the reason: it is told to whoever asks for it.
///
/// # Errors
/// If the folder cannot be listed or holds no data.
pub(super) fn find_tables(place: &Place, folder: &Path) -> Result<BTreeMap<String, Candidate>> {
    let mut tables: BTreeMap<String, Candidate> = BTreeMap::new();
    for entry in place.visible_entries(folder)? {
        let name = entry.name();
        let (source, stem) = if entry.is_folder {
            let source = match source_of_folder(place, &entry.path) {
                Ok(None) => continue,
                Ok(Some(source)) => Ok(source),
                Err(error) => Err(error),
            };
            // Some writers call a folder of files `name.parquet`.
            (source, Kind::of(&name).map_or(name.as_str(), |(_, stem)| stem))
        } else {
            match source_of_file(&entry, &name) {
                Some(found) => found,
                None => continue,
            }
        };
        let candidate = Candidate {
            source: match entry.path.to_str() {
                Some(_) => source,
                None => Err(QueryError::data(&entry.path, "its name is not Unicode; rename it")),
            },
            origin: entry.path,
        };
        add(&mut tables, stem.to_owned(), candidate);
    }
    if tables.is_empty() {
        return Err(QueryError::data(
            folder,
            "holds no .parquet, .csv, .json, .jsonl or .ndjson file and no folder of such files",
        ));
    }
    Ok(tables)
}

/// Adds a table; if two have one name, neither can be used.
pub(super) fn add(tables: &mut BTreeMap<String, Candidate>, name: String, candidate: Candidate) {
    match tables.get_mut(&name) {
        None => {
            tables.insert(name, candidate);
        }
        Some(first) => {
            let problem = format!(
                "{} would be the table {name:?} too; rename one of them",
                candidate.origin.display()
            );
            first.source = Err(QueryError::data(&first.origin, problem));
        }
    }
}

fn source_of_file<'a>(entry: &Entry, name: &'a str) -> Option<(Result<Source>, &'a str)> {
    if let Some((kind, stem)) = Kind::of(name) {
        let files = vec![entry.path.clone()];
        return Some((Ok(Source { kind, files }), stem));
    }
    let (plain, packing) = name.rsplit_once('.')?;
    let (_, stem) = Kind::of(plain).filter(|_| is_one_of(&OTHER_PACKINGS, packing))?;
    Some((Err(packed_otherwise(&entry.path, packing)), stem))
}

fn packed_otherwise(file: &Path, packing: &str) -> QueryError {
    QueryError::data(
        file,
        format!("is packed as .{packing}, which cannot be read; unpack it, or pack it as .gz or .zst"),
    )
}

fn is_one_of(endings: &[&str], ending: &str) -> bool {
    endings.iter().any(|known| known.eq_ignore_ascii_case(ending))
}

/// The table of a folder, or `None` if it holds no data at all.
fn source_of_folder(place: &Place, folder: &Path) -> Result<Option<Source>> {
    let mut source: Option<Source> = None;
    let mut strange = None;
    for entry in place.visible_entries(folder)? {
        let name = entry.name();
        if entry.is_folder {
            if let Some(below) = refuse_data_below(place, &entry.path)? {
                strange.get_or_insert(below);
            }
            continue;
        }
        let Some((kind, _)) = Kind::of(&name) else {
            if !is_passed_over(&name) {
                strange.get_or_insert(entry);
            }
            continue;
        };
        let source = source.get_or_insert_with(|| Source { kind, files: vec![] });
        if source.kind != kind {
            let problem = format!(
                "is {}, but other files of its folder are {}",
                kind.name(),
                source.kind.name()
            );
            return Err(QueryError::data(entry.path, problem));
        }
        source.files.push(entry.path);
    }
    let Some(source) = source else {
        // A folder of packed files would be a table, if they could be unpacked.
        return match strange {
            Some(entry) if source_of_file(&entry, &entry.name()).is_some() => Err(strange_file(&entry)),
            _ => Ok(None),
        };
    };
    match strange {
        Some(entry) => Err(strange_file(&entry)),
        None => Ok(Some(source)),
    }
}

fn is_passed_over(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    name.ends_with('~')
        || ending.is_some_and(|ending| is_one_of(&PASSED_OVER, ending))
        || is_one_of(&PASSED_OVER_NAMES, name)
}

fn strange_file(entry: &Entry) -> QueryError {
    let name = entry.name();
    match name.rsplit_once('.') {
        Some((_, ending)) if is_one_of(&OTHER_PACKINGS, ending) => packed_otherwise(&entry.path, ending),
        _ => QueryError::data(
            &entry.path,
            "is beside the files of a table and would not be read; name it .csv, .json or .parquet (packed: .csv.gz, .csv.zst) \
             if it is data, or begin its name with _ if it is none",
        ),
    }
}

/// Data in a folder of a table's folder would be passed over silently: a table in partitions, for example. Returns a file of which
/// that cannot be said: it is data if the folder is a table's.
fn refuse_data_below(place: &Place, folder: &Path) -> Result<Option<Entry>> {
    let mut strange = None;
    for entry in place.visible_entries(folder)? {
        let name = entry.name();
        if entry.is_folder {
            if let Some(below) = refuse_data_below(place, &entry.path)? {
                strange.get_or_insert(below);
            }
        } else if Kind::of(&name).is_some() {
            return Err(QueryError::data(
                folder,
                "is a folder of data inside a table's folder, and only files directly in that are read; move them there, or give its parent to --data",
            ));
        } else if !is_passed_over(&name) {
            strange.get_or_insert(entry);
        }
    }
    Ok(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> BTreeMap<String, Candidate> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "a\n1\n").unwrap();
        }
        find_tables(&Place::Here, folder.path()).unwrap()
    }

    #[test]
    fn every_file_of_a_tables_folder_is_read_or_the_table_is_refused() {
        let tables = found(&[
            "t/1.csv",
            "t/2.CSV",
            "t/3.csv.gz",
            "t/4.Csv.ZST",
            "t/_SUCCESS",
            "t/.1.csv.crc",
            "t/x.tmp",
            "t/README.md",
        ]);
        assert_eq!(tables["t"].source.as_ref().unwrap().files.len(), 4);
        for strange in [
            "t/2.csv.bz2",
            "t/2.csv.xz",
            "t/part-00000",
            "t/2.tsv",
            "t/2.csv.1",
            "t/2.avro",
            "t/2.parquet",
            "t/y/z/2.csv",
            "t/y/2.csv.bz2",
            "t/y/z/part-00000",
        ] {
            let tables = found(&["t/1.csv", strange]);
            let error = tables["t"].source.as_ref().unwrap_err().to_string();
            let named = strange.trim_start_matches("t/").trim_end_matches("/2.csv");
            assert!(error.contains(named), "{strange}: {error}");
        }
    }

    #[test]
    fn a_table_that_cannot_be_used_leaves_the_others_alone() {
        let tables = found(&[
            "a.csv",
            "a.json",
            "b.CSV",
            "c.csv.gz",
            "d.csv.xz",
            "e/x.csv",
            "e/y.json",
            "f.parquet/1.parquet",
            "v1.2/1.csv",
            "notes.txt",
            "g/h/1.csv",
            "i/1.csv.xz",
        ]);
        let usable = |name: &str| tables[name].source.is_ok();
        let names: Vec<&str> = tables.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g", "i", "v1.2"]);
        let used: Vec<&str> = names.into_iter().filter(|name| usable(name)).collect();
        assert_eq!(used, ["b", "c", "f", "v1.2"]);
        // What is no data is in nobody's way.
        let tables = found(&[
            "a.csv",
            "notes/pictures/1.jpg",
            "t/1.csv",
            "t/_old/part-0",
            "t/doc/README.md",
        ]);
        assert!(tables.len() == 2 && tables["t"].source.is_ok());
    }
}
