//! Files: how they are written beside their place, and take it in one step. Handed to the coordinator, so that a simulation can have its own.

use crate::disk;
use crate::journal::Durability;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Whether objects may still appear.
#[derive(Debug, Default)]
pub struct Gate {
    is_closed: Mutex<bool>,
}

impl Gate {
    /// Returns when nothing appears any more.
    pub(in crate::coordinator::driver) fn close(&self) {
        *self.is_closed.lock() = true;
    }

    /// As long as what this gives is kept, the gate stays open; `None` if it is closed.
    pub fn hold(&self) -> Option<MutexGuard<'_, bool>> {
        let is_closed = self.is_closed.lock();
        (!*is_closed).then_some(is_closed)
    }
}

/// A place for files.
#[async_trait]
pub trait Files: Send + Sync {
    /// Where the file of this path is really to be put: behind links, and only where this is allowed.
    async fn place(&self, path: PathBuf) -> io::Result<PathBuf>;

    /// Takes these away, as far as they are there: nobody lets them arrive any more.
    async fn forget(&self, drafts: Vec<PathBuf>) -> io::Result<()>;

    /// An empty file at this path, with the folders that lead to it, in the place of any that was there; `None` if the gate is closed.
    async fn draft(&self, path: PathBuf, gate: Arc<Gate>) -> io::Result<Option<Box<dyn Draft>>>;
}

/// A file that is being written. Its name is this coordinator's own.
#[async_trait]
pub trait Draft: Send {
    /// Writes at its end.
    async fn append(&mut self, bytes: Bytes) -> io::Result<()>;

    /// Makes it durable and lets it take its place, whole. False if the gate is closed. If it cannot take its place, nothing of it is left.
    async fn arrive(self: Box<Self>, place: PathBuf, gate: Arc<Gate>) -> io::Result<bool>;

    /// Takes it away.
    async fn discard(self: Box<Self>);
}

/// The files of this machine, below some folders.
#[derive(Clone, Debug)]
pub struct LocalFiles {
    roots: Arc<[PathBuf]>,
}

impl LocalFiles {
    /// Files below these folders, and nowhere else.
    pub fn below(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        LocalFiles {
            roots: folders.into_iter().collect(),
        }
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let place = behind_links(path)?;
        match place.symlink_metadata() {
            Ok(there) if there.is_symlink() => {
                return Err(io::Error::other(
                    "there is a symbolic link that leads nowhere; remove it, or make what it leads to",
                ));
            }
            Ok(there) if !there.is_file() => {
                return Err(io::Error::other(
                    "what is there is no regular file, and is not replaced",
                ));
            }
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
        let is_below = |root: &PathBuf| {
            let root = std::path::absolute(root).and_then(|root| behind_links(&root));
            root.is_ok_and(|root| place != root && place.starts_with(root))
        };
        if self.roots.iter().any(is_below) {
            return Ok(place);
        }
        let roots: Vec<_> = self.roots.iter().map(|root| root.display().to_string()).collect();
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} is outside of where this run's coordinator lets tasks put files ({}); allow it with `--objects-below DIR` or `Builder::objects_below`",
                place.display(),
                roots.join(", ")
            ),
        ))
    }
}

impl Default for LocalFiles {
    /// Files below the working directory, and below the system's folder for temporary files.
    fn default() -> Self {
        // Without a working directory there is nothing below it; and below the root is everything.
        let here = std::env::current_dir().ok().filter(|here| here.parent().is_some());
        Self::below(here.into_iter().chain([std::env::temp_dir()]))
    }
}

/// What this process's new files are not open for. The system only tells who sets it, so it is read from where it is written down.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let said = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    said.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o022)
}

/// The path without links and `..`, as far as it leads to something that is there.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    for there in path.ancestors() {
        let Ok(real) = there.canonicalize() else { continue };
        let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
        if rest.components().any(|part| part == Component::ParentDir) {
            return Err(io::Error::other(format!(
                "it leads by `..` through a folder that is not there: {}",
                path.display()
            )));
        }
        return Ok(match rest.as_os_str().is_empty() {
            true => real,
            false => real.join(rest),
        });
    }
    Err(io::ErrorKind::NotFound.into())
}

#[async_trait]
impl Files for LocalFiles {
    async fn place(&self, path: PathBuf) -> io::Result<PathBuf> {
        let files = self.clone();
        blocking(move || files.resolve(&path)).await
    }

    async fn forget(&self, drafts: Vec<PathBuf>) -> io::Result<()> {
        if drafts.is_empty() {
            return Ok(());
        }
        blocking(move || drafts.iter().try_for_each(|draft| remove_if_there(draft))).await
    }

    async fn draft(&self, path: PathBuf, gate: Arc<Gate>) -> io::Result<Option<Box<dyn Draft>>> {
        blocking(move || {
            let Some(_open) = gate.hold() else { return Ok(None) };
            if let Some(folder) = path.parent() {
                disk::make_folders(folder, Durability::Machine)?;
            }
            // Not for others before it is known for whom it is.
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            let draft: Box<dyn Draft> = Box::new(LocalDraft {
                path,
                file: Arc::new(file),
            });
            Ok(Some(draft))
        })
        .await
    }
}

struct LocalDraft {
    path: PathBuf,
    file: Arc<File>,
}

impl LocalDraft {
    /// What replaces a file is as open to others as that was.
    fn take_place(&self, place: &Path) -> io::Result<()> {
        match place.metadata() {
            Ok(before) => self.file.set_permissions(before.permissions())?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                self.file.set_permissions(Permissions::from_mode(0o666 & !umask()))?;
            }
            Err(cause) => return Err(cause),
        }
        self.file.sync_all()?;
        disk::rename(&self.path, place)?;
        disk::sync_folder(place.parent().unwrap_or(Path::new("/")), Durability::Machine)
    }
}

#[async_trait]
impl Draft for LocalDraft {
    async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        let file = self.file.clone();
        blocking(move || (&*file).write_all(&bytes)).await
    }

    async fn arrive(self: Box<Self>, place: PathBuf, gate: Arc<Gate>) -> io::Result<bool> {
        blocking(move || {
            // Most of it is waited for before the gate is held.
            let synced = self.file.sync_all();
            let open = gate.hold();
            let moved = match &open {
                Some(_) => synced.and_then(|()| self.take_place(&place)),
                None => Ok(()),
            };
            if open.is_none() || moved.is_err() {
                // What is half there is nobody's.
                let _ = std::fs::remove_file(&self.path);
            }
            moved.map(|()| open.is_some())
        })
        .await
    }

    async fn discard(self: Box<Self>) {
        if let Err(cause) = blocking(move || remove_if_there(&self.path)).await {
            tracing::warn!(%cause, "a file that was not finished stays");
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(cause) if !matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(cause),
        _ => Ok(()),
    }
}

/// Does on a thread of its own what may take long.
async fn blocking<T: Send + 'static>(step: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(step).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    async fn put(files: &LocalFiles, path: &Path, content: &'static [u8]) -> io::Result<bool> {
        let gate: Arc<Gate> = Arc::default();
        let place = files.place(path.to_path_buf()).await?;
        let draft = place.with_extension("draft");
        let mut draft = files.draft(draft, gate.clone()).await?.expect("the gate is open");
        draft.append(Bytes::from_static(content)).await?;
        draft.arrive(place, gate).await
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_keeps_its_mode_and_a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = LocalFiles::below([folder.path().to_path_buf()]);
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "before").expect("write");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("mode");
        symlink("file", &link).expect("link");
        assert!(put(&files, &link, b"after").await.expect("put"));
        assert_eq!(std::fs::read(&file).expect("read"), b"after");
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o7777, 0o640);
        assert!(link.symlink_metadata().expect("there").is_symlink());
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("read").count(),
            2,
            "a draft is left"
        );
    }

    #[tokio::test]
    async fn nothing_is_put_outside_of_what_is_allowed_by_no_way_around() {
        let folder = tempfile::tempdir().expect("a folder");
        let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
        std::fs::create_dir_all(&inside).expect("make");
        std::fs::create_dir_all(&outside).expect("make");
        symlink(&outside, inside.join("way")).expect("link");
        std::fs::write(outside.join("there"), "safe").expect("write");
        symlink(outside.join("there"), inside.join("file")).expect("link");
        symlink(outside.join("nowhere"), inside.join("lost")).expect("link");
        let files = LocalFiles::below([inside.clone()]);
        assert!(put(&files, &inside.join("a/b/c"), b"x").await.expect("put"));
        for path in [
            outside.join("x"),
            inside.join("way/x"),
            inside.join("../outside/x"),
            inside.join("new/../../outside/x"),
            inside.join("file"),
            inside.join("lost"),
            inside.join("way"),
            inside.clone(),
            PathBuf::from("/dev/null"),
        ] {
            let error = put(&files, &path, b"changed").await.expect_err("it is refused");
            assert!(!error.to_string().is_empty(), "{}", path.display());
        }
        let error = files.place(outside.join("x")).await.expect_err("refused").to_string();
        assert!(
            error.contains("outside/x is outside") && error.contains("--objects-below DIR"),
            "{error}"
        );
        assert_eq!(std::fs::read(outside.join("there")).expect("read"), b"safe");
        assert_eq!(std::fs::read_dir(&outside).expect("read").count(), 1);
    }

    #[tokio::test]
    async fn r26_what_an_earlier_coordinator_has_begun_cannot_arrive_once_it_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = LocalFiles::below([folder.path().to_path_buf()]);
        let gate: Arc<Gate> = Arc::default();
        let (path, place) = (folder.path().join(".draft"), folder.path().join("place"));
        let mut draft = files
            .draft(path.clone(), gate.clone())
            .await
            .expect("begun")
            .expect("open");
        draft.append(Bytes::from_static(b"old")).await.expect("written");
        files.forget(vec![path]).await.expect("forgotten");
        draft.arrive(place.clone(), gate).await.expect_err("it is gone");
        assert!(!place.exists());
    }
}
