//! What a disk says when it fails, and room on it.

use baton_consensus::broken::Access;
use commonware_runtime::Error;
use eyre::{Report, eyre};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::Path,
};

/// Why storage failed, as far as it makes a difference to whoever has to help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No room, or no more of it for this user.
    Full,
    /// A file may not become larger.
    TooLarge,
    ReadOnly,
    Denied,
    TooManyFiles,
    /// What was read is not what was written.
    Damaged,
    /// Anything else that the operating system says.
    Failing,
}

impl Trouble {
    /// None for what is part of normal operation.
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Io(error)
            | Error::BlobOpenFailed(_, _, error)
            | Error::BlobResizeFailed(_, _, error)
            | Error::BlobSyncFailed(_, _, error) => Some(Self::of_io(error)),
            Error::PartitionCorrupt(_)
            | Error::BlobCorrupt(..)
            | Error::BlobInsufficientLength
            | Error::BlobLayoutMismatch { .. }
            | Error::BlobVersionMismatch { .. }
            | Error::InvalidChecksum => Some(Self::Damaged),
            Error::ReadFailed | Error::WriteFailed | Error::PartitionCreationFailed(_) => Some(Self::Failing),
            _ => None,
        }
    }

    pub fn of_io(error: &io::Error) -> Self {
        let number = error.raw_os_error();
        let is = |errno: rustix::io::Errno| number == Some(errno.raw_os_error());
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            ErrorKind::FileTooLarge => Self::TooLarge,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::UnexpectedEof => Self::Damaged,
            _ if is(rustix::io::Errno::MFILE) || is(rustix::io::Errno::NFILE) => Self::TooManyFiles,
            _ => Self::Failing,
        }
    }

    /// What is wrong with `place`, and what helps. None for damage, where that depends on the file.
    pub fn advice(self, place: &str, dir: &Path) -> Option<String> {
        let dir = dir.display();
        Some(match self {
            Self::Damaged => return None,
            Self::Full => {
                format!("the disk of {dir} is full. Make room and start the node again; nothing needs repair")
            }
            Self::TooLarge => format!(
                "{place} may not become larger. Raise the limit on the size of files (ulimit -f, LimitFSIZE=, or \
                 that of the file system) and start the node again; nothing needs repair"
            ),
            Self::ReadOnly => format!(
                "{dir} cannot be written: its file system is read-only. Mount it for writing and start the node \
                 again; if it became read-only by itself, its disk is failing: see the kernel's log"
            ),
            Self::Denied => format!(
                "this user may not use {place}. Give {dir}, and all that is in it, to the user that the node runs \
                 as (chown -R), and start it again"
            ),
            Self::TooManyFiles => format!(
                "too many files are open for {place}. Raise the limit (ulimit -n, LimitNOFILE=) and start the node \
                 again; nothing needs repair"
            ),
            Self::Failing => format!(
                "{place} cannot be used. If it stays so after a restart, the disk of {dir} is failing: see the \
                 kernel's log, and treat this member as one with a lost disk"
            ),
        })
    }
}

/// An error of the operating system about a file of the data directory, with what helps.
pub fn explain(access: Access, path: &Path, data_dir: &Path, error: &io::Error) -> Report {
    let place = path.display().to_string();
    match Trouble::of_io(error).advice(&place, data_dir) {
        Some(advice) => eyre!("{access} {place}: {error}: {advice}"),
        None => eyre!("{access} {place}: {error}"),
    }
}

/// Bytes that this process may still write on the disk of `dir`.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether a file in `dir` can be made and written, for errors that do not say why.
pub fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join("probe");
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&[0; 4_096])?;
        file.sync_all()
    });
    // Not there where it could not be made.
    let _ = fs::remove_file(&path);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_what_the_system_says() {
        use rustix::io::Errno;
        for (errno, expect) in [
            (Errno::NOSPC, Trouble::Full),
            (Errno::DQUOT, Trouble::Full),
            (Errno::FBIG, Trouble::TooLarge),
            (Errno::ROFS, Trouble::ReadOnly),
            (Errno::ACCESS, Trouble::Denied),
            (Errno::PERM, Trouble::Denied),
            (Errno::MFILE, Trouble::TooManyFiles),
            (Errno::IO, Trouble::Failing),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(Trouble::of_io(&error), expect, "{error}");
            assert_eq!(Trouble::of(&Error::from(error)), Some(expect));
        }
        let cut = io::Error::from(ErrorKind::UnexpectedEof);
        assert_eq!(Trouble::of(&Error::from(cut)), Some(Trouble::Damaged));
        assert_eq!(Trouble::of(&Error::PartitionMissing("new".to_owned())), None);
        assert_eq!(Trouble::of(&Error::BlobMissing("gone".to_owned(), "00".to_owned())), None);
    }

    #[test]
    fn a_place_that_takes_files_is_told_from_one_that_does_not() {
        let dir = tempfile::tempdir().unwrap();
        probe(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing behind");
        probe(&dir.path().join("absent")).unwrap_err();
    }
}
