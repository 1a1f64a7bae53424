//! Steps on the file system whose order, and whose reaching the disk, decides what a loss of power leaves.
//!
//! A file system may bring to the disk in any order what nobody has waited for: a name before the content, the second of two new names before the first. So a
//! file is synced before it gets the name by which it counts, and the folder is synced after that, and before anything builds on it. All who keep something
//! that is to survive do it by these functions: the tests write down the steps, and look at what every loss of power could leave of them.

use crate::coordinator::sabotage::{self, Sabotage};
use crate::journal::Durability;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(crate) mod lossy;

/// An empty file, in the place of any that was there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = File::create(path)?;
    #[cfg(test)]
    lossy::note(|| lossy::Step::Create(path.to_path_buf()));
    Ok(file)
}

/// Writes at the end of a file that is written nowhere else.
pub(crate) fn append(mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    #[cfg(test)]
    lossy::note(|| lossy::Step::Append(path.to_path_buf(), bytes.to_vec()));
    let _ = path; // Named for the tests.
    Ok(())
}

/// Waits until the file's content is on the disk, if it has to outlive the machine.
pub(crate) fn sync(file: &File, path: &Path, durability: Durability) -> io::Result<()> {
    if durability == Durability::Process || sabotage::is(Sabotage::SkipsSync) {
        return Ok(());
    }
    file.sync_data()?;
    #[cfg(test)]
    lossy::note(|| lossy::Step::Sync(path.to_path_buf()));
    let _ = path;
    Ok(())
}

/// Waits until the names in a folder are on the disk, if they have to outlive the machine.
pub(crate) fn sync_folder(folder: &Path, durability: Durability) -> io::Result<()> {
    if durability == Durability::Process || sabotage::is(Sabotage::SkipsSync) {
        return Ok(());
    }
    File::open(folder)?.sync_all()?;
    #[cfg(test)]
    lossy::note(|| lossy::Step::SyncFolder(folder.to_path_buf()));
    Ok(())
}

/// Waits until all that was written to the file system of this folder is on its disk, files and names: what is named there lies in other files.
pub(crate) fn sync_file_system(folder: &Path) -> io::Result<()> {
    if sabotage::is(Sabotage::SkipsSync) {
        return Ok(());
    }
    let folder = File::open(folder)?;
    #[cfg(target_os = "linux")]
    nix::unistd::syncfs(&folder)?;
    #[cfg(not(target_os = "linux"))]
    folder.sync_all()?;
    Ok(())
}

/// Gives a file another name in the same folder, in the place of any that had it.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    #[cfg(test)]
    lossy::note(|| lossy::Step::Rename(from.to_path_buf(), to.to_path_buf()));
    Ok(())
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    #[cfg(test)]
    lossy::note(|| lossy::Step::Remove(path.to_path_buf()));
    Ok(())
}

/// A file that had no name has got one.
pub(crate) fn was_linked(_path: &Path, _content: &[u8], _durability: Durability) {
    #[cfg(test)]
    lossy::note(|| lossy::Step::Linked {
        path: _path.to_path_buf(),
        content: _content.to_vec(),
        is_synced: _durability == Durability::Machine && !sabotage::is(Sabotage::SkipsSync),
    });
}

/// Makes a folder, and those above it that are missing.
pub(crate) fn make_folders(path: &Path, durability: Durability) -> io::Result<()> {
    make(path, 0o777, durability)
}

/// The same for this user alone: arguments and results may be secrets.
pub(crate) fn make_private_folders(path: &Path, durability: Durability) -> io::Result<()> {
    make(path, 0o700, durability)
}

fn make(path: &Path, mode: u32, durability: Durability) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let missing: Vec<PathBuf> = path.ancestors().take_while(is_missing).map(Path::to_path_buf).collect();
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
    for folder in missing.iter().rev() {
        #[cfg(test)]
        lossy::note(|| lossy::Step::MakeFolder(folder.clone()));
        sync_folder(above(folder), durability)?;
    }
    Ok(())
}

/// Makes the names on the way to this folder, which somebody else may have made a moment ago, outlive the machine; as far up as this user may look.
pub(crate) fn sync_way_to(folder: &Path, durability: Durability) -> io::Result<()> {
    for above in folder.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() {
            Path::new(".")
        } else {
            above
        };
        match sync_folder(above, durability) {
            // What this user cannot read, another one has made, some time ago.
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            done => done?,
        }
    }
    Ok(())
}

fn above(path: &Path) -> &Path {
    path.parent()
        .filter(|above| !above.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
