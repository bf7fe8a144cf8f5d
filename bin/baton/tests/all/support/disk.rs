//! Small and read-only disks. They are mounted, which not every user may do.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

const MIB: u64 = 1024 * 1024;
const BALLAST: &str = "ballast";

/// A file system on a directory, as long as this lives.
struct Mounted(PathBuf);

impl Mounted {
    /// None where this user may not mount.
    fn new(dir: &Path, arguments: &[&str]) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).arg(dir).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Also while a process still uses it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A disk that becomes full. Where none can be mounted, a limit on the size of files stands in.
pub struct Small(Option<Mounted>);

impl Small {
    pub fn new(dir: &Path, mebibytes: u64) -> Self {
        fs::create_dir_all(dir).unwrap();
        let size = format!("size={mebibytes}m,mode=700");
        let mounted = Mounted::new(dir, &["-t", "tmpfs", "-o", &size, "baton-test"]);
        if mounted.is_none() {
            println!("this user may not mount: a limit on the size of files stands in for a full disk");
        }
        Self(mounted)
    }

    pub fn is_a_disk(&self) -> bool {
        self.0.is_some()
    }

    /// Leaves so much room to the process that uses it.
    pub fn fill(&self, pid: u32, mebibytes: u64) {
        let Some(Mounted(dir)) = &self.0 else {
            let bytes = Some(mebibytes * MIB);
            let limit = Rlimit { current: bytes, maximum: bytes };
            prlimit(Pid::from_raw(i32::try_from(pid).unwrap()), Resource::Fsize, limit).unwrap();
            return;
        };
        let mut ballast = File::create(dir.join(BALLAST)).unwrap();
        let stat = rustix::fs::statvfs(dir.as_path()).unwrap();
        let chunk = vec![0; usize::try_from(MIB).unwrap()];
        for _ in 0..(stat.f_bavail * stat.f_frsize / MIB).saturating_sub(mebibytes) {
            ballast.write_all(&chunk).unwrap();
        }
    }

    pub fn make_room(&self) {
        if let Some(Mounted(dir)) = &self.0 {
            fs::remove_file(dir.join(BALLAST)).unwrap();
        }
    }

    /// What a node says that has run into it.
    pub fn message(&self) -> &'static str {
        if self.is_a_disk() { "is full. Make room" } else { "may not become larger. Raise the limit" }
    }
}

/// Makes a directory read-only, for a superuser too. Given to whoever keeps it so.
pub fn read_only(dir: &Path) -> impl Drop {
    let path = dir.to_str().unwrap();
    let mounted = Mounted::new(dir, &["--bind", path]);
    let mounted =
        mounted.expect("a superuser who may not mount cannot run this test: run it as another user");
    assert!(Mounted::new(dir, &["-o", "remount,ro,bind"]).map(std::mem::forget).is_some());
    mounted
}
