//! Where results go: standard output, or a file that appears all at once.
//!
//! A file is written under a temporary name beside its place and renamed when everything has succeeded; dropped before
//! that, it is gone and what was there before is untouched. Devices and pipes (`/dev/null`, a FIFO) are written directly.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Where the results of a command go.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A file that is to appear when all is done.
    File {
        /// Its place.
        path: PathBuf,
        /// The file under its temporary name; made when the first result is there.
        temporary: Option<BufWriter<NamedTempFile>>,
    },
    /// Something that is no file: it cannot be replaced, only written to.
    Device(BufWriter<File>),
}

impl Destination {
    /// Checks the place before any work is done for it.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Destination> {
        let Some(path) = path else {
            return Ok(Destination::Stdout);
        };
        // A link stays a link: what it points to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => {
                return Ok(Destination::Device(BufWriter::new(
                    OpenOptions::new().write(true).open(&path)?,
                )));
            }
            _ => {}
        }
        if !fs::metadata(folder_of(&path))?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Destination::File { path, temporary: None })
    }

    /// Gives `write` the place to write to, and flushes it.
    pub(crate) fn write<E: From<io::Error>>(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Destination::Stdout => {
                let mut stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
                write(&mut stdout)?;
                Ok(stdout.flush()?)
            }
            Destination::Device(device) => {
                write(device)?;
                Ok(device.flush()?)
            }
            Destination::File { path, temporary } => {
                let file = match temporary {
                    Some(file) => file,
                    None => temporary.insert(BufWriter::with_capacity(1 << 16, create_beside(path)?)),
                };
                write(file)?;
                Ok(file.flush()?)
            }
        }
    }

    /// Everything is written: the file appears under its name.
    pub(crate) fn finish(self) -> io::Result<()> {
        let Destination::File { path, temporary } = self else {
            return Ok(());
        };
        let file = match temporary {
            Some(file) => file.into_inner().map_err(io::IntoInnerError::into_error)?,
            None => create_beside(&path)?,
        };
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    // What a new file of the user would get; the file that is replaced keeps what it has.
    let mode = fs::metadata(path).map_or(0o666, |found| found.permissions().mode() & 0o777);
    tempfile::Builder::new()
        .prefix(".kappa-sql-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn write(destination: &mut Destination, text: &str) {
        destination.write(|to| to.write_all(text.as_bytes())).unwrap();
    }

    #[test]
    fn a_file_appears_with_everything_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let mut destination = Destination::open(Some(&path)).unwrap();
        write(&mut destination, "one\n");
        write(&mut destination, "two\n");
        assert!(!path.exists());
        destination.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn a_file_that_is_given_up_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(&path, "old").unwrap();
        let mut destination = Destination::open(Some(&path)).unwrap();
        write(&mut destination, "half");
        drop(destination);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions_and_a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut destination = Destination::open(Some(&link)).unwrap();
        write(&mut destination, "new");
        destination.finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_place_that_cannot_be_is_refused_before_anything_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let open = |path: PathBuf| Destination::open(Some(&path)).unwrap_err().kind();
        assert_eq!(open(folder.path().to_owned()), io::ErrorKind::IsADirectory);
        assert_eq!(open(folder.path().join("no/such/file")), io::ErrorKind::NotFound);
        fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(open(folder.path().join("file/x")), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_device_is_written_to_directly() {
        let mut destination = Destination::open(Some(Path::new("/dev/null"))).unwrap();
        write(&mut destination, "nobody reads this");
        destination.finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
