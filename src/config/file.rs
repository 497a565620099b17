//! The file of the configuration, and what tells that it is another one than before.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file, and its state when it was read.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// As of the moment before; none when it could not be looked at.
    pub state: Option<FileState>,
}

impl ConfigFile {
    /// To be called before the file is read, so that a change in between is seen as one.
    pub(super) fn new(path: PathBuf) -> ConfigFile {
        ConfigFile { state: FileState::of(&path), path }
    }
}

/// Differs when the file has been written to or replaced, even by one of the same time and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same, of the file's own data: nobody can set it.
    changed: (i64, i64),
}

impl FileState {
    /// None while there is no file.
    pub fn of(path: &Path) -> Option<FileState> {
        let data = std::fs::metadata(path).ok()?;
        Some(FileState {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}
