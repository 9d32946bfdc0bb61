//! A file system of its own, in a namespace of the system that lasts as long as the value: nobody else sees it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A file system that is mounted.
pub struct Mount {
    /// Ends, and takes the namespace along, when its input does.
    keeper: Child,
    folder: TempDir,
}

impl Mount {
    /// One of 24 MiB in memory; `None`, and a line that says so, where this user may not make one.
    pub fn tmpfs() -> Option<Mount> {
        Mount::by("mount -t tmpfs -o size=24M none \"$0/on\"")
    }

    /// One whose times are whole seconds (ext2 with inodes of 128 bytes), of 64 MiB; `None` in the same way.
    pub fn with_coarse_times() -> Option<Mount> {
        Mount::by(
            "truncate -s 64M \"$0/image\" && mkfs.ext2 -q -F -I 128 \"$0/image\" && mount -o loop \"$0/image\" \"$0/on\"",
        )
    }

    /// Where it is for programs that run [within](crate::Call::within) it.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("on")
    }

    /// Where a file of it is for everybody else.
    pub fn outside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(self.path().strip_prefix("/").expect("temporary folders have absolute paths")).join(name)
    }

    /// The command line that runs another one within it.
    pub(crate) fn prefix(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.keeper.id())]
    }

    fn by(mount: &str) -> Option<Mount> {
        let folder = tempfile::Builder::new().prefix("cidra-").tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("on")).expect("the test's own folder");
        match Mount::keep(mount, folder.path()) {
            Ok(keeper) => Some(Mount { keeper, folder }),
            Err(why) => {
                println!("skipped: no file system can be mounted here ({})", why.trim());
                None
            }
        }
    }

    fn keep(mount: &str, folder: &Path) -> Result<Child, String> {
        let script = format!("{{ {mount}; }} >&2 && echo mounted && exec cat");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]).arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let told = BufReader::new(keeper.stdout.as_mut().expect("piped above")).read_line(&mut line);
        if told.is_ok() && line.trim() == "mounted" {
            return Ok(keeper);
        }
        drop(keeper.stdin.take());
        let mut why = String::new();
        // Without its words it is still skipped.
        let _ = keeper.stderr.take().expect("piped above").read_to_string(&mut why);
        let _ = keeper.wait();
        Err(why)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Fails only when it was waited for.
        let _ = self.keeper.wait();
    }
}
