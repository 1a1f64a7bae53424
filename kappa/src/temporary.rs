//! A temporary folder that goes when this process goes, however that ends.
//!
//! Dropping it removes it. For the case that nobody gets to drop it (`kill -9`), a shell waits on the other end of a pipe: the pipe closes when this
//! process ends, and the shell removes the folder, and ends the process groups that it was told of. A system without a shell keeps what a killed
//! process has left.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What the shell does: note the groups that come (`+GROUP`) and go (`-GROUP`) until the end of its input, then end those that are left, and remove the
/// folder that it was given. Somebody who is dying too may still be writing there.
const REMOVE_AT_END_OF_INPUT: &str = r#"groups=
while read -r line; do
    case $line in
        +*) groups="$groups ${line#+}" ;;
        -*) left=
            for group in $groups; do [ "$group" = "${line#-}" ] || left="$left $group"; done
            groups=$left ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
rm -rf -- "$0" || { sleep 1; exec rm -rf -- "$0"; }"#;

/// A folder for as long as this process lives, at most.
pub(crate) struct TemporaryFolder {
    folder: Option<TempDir>,
    janitor: Option<Child>,
}

impl TemporaryFolder {
    /// A new folder, whose name begins so.
    pub(crate) fn new(prefix: &str, place: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(place)?;
        let janitor = start_janitor(folder.path()).ok();
        Ok(TemporaryFolder {
            folder: Some(folder),
            janitor,
        })
    }

    /// This process group ends with this process at the latest, however that ends.
    pub(crate) fn begin_group(&mut self, group: u32) {
        self.tell(&format!("+{group}\n"));
    }

    /// It has ended: from now on its number may be another's.
    pub(crate) fn end_group(&mut self, group: u32) {
        self.tell(&format!("-{group}\n"));
    }

    fn tell(&mut self, line: &str) {
        if let Some(input) = self.janitor.as_mut().and_then(|janitor| janitor.stdin.as_mut())
            && let Err(cause) = input.write_all(line.as_bytes())
        {
            tracing::debug!(%cause, "nobody looks after a process group");
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        // It is taken only when this is dropped.
        self.folder.as_ref().map_or(Path::new("/nowhere"), TempDir::path)
    }
}

fn start_janitor(folder: &Path) -> io::Result<Child> {
    Command::new("/bin/sh")
        .arg("-c")
        .arg(REMOVE_AT_END_OF_INPUT)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        // Ctrl-C on the terminal is not for it.
        .process_group(0)
        .spawn()
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        drop(self.folder.take());
        if let Some(mut janitor) = self.janitor.take() {
            drop(janitor.stdin.take());
            // It finds nothing left to do, and so ends at once.
            let _ = janitor.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, Instant};

    #[test]
    fn r13_the_folder_goes_with_its_owner() {
        let place = tempfile::tempdir().unwrap();
        let folder = TemporaryFolder::new("x-", place.path()).unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn r13_the_folder_of_a_killed_process_is_removed_too() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = TemporaryFolder::new("x-", place.path()).unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/file"), "x").unwrap();
        // What the kernel does at a process's end: the pipe closes, nothing else happens.
        let path = folder.folder.take().unwrap().keep();
        let mut janitor = folder.janitor.take().unwrap();
        assert!(path.exists());
        drop(janitor.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while path.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!path.exists());
        janitor.wait().unwrap();
    }
}
