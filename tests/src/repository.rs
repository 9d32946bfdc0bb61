//! A repository in a temporary folder, and the calls of `cidra` on it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Call, Daemon, Program};

/// A repository of its own, removed when dropped; beside it a folder for the test's files.
pub struct Repository {
    folder: TempDir,
}

impl Default for Repository {
    fn default() -> Repository {
        Repository { folder: tempfile::Builder::new().prefix("cidra-").tempdir().expect("a temporary folder") }
    }
}

impl Repository {
    /// A repository that nothing has opened yet.
    pub fn new() -> Repository {
        Repository::default()
    }

    /// The repository's folder; the first command makes it.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// A path for a file of the test, outside the repository.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder of the test, outside the repository.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes of disk space that the blocks in it take, whoever writes there.
    pub fn block_bytes(&self) -> u64 {
        let files = fs::read_dir(self.path().join("store")).into_iter().flatten().flatten();
        let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "segment"));
        segments.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.blocks() * 512).sum()
    }

    /// `cidra` with these arguments on this repository.
    pub fn cidra<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Call {
        Call::new(Program::Cidra)
            .env("HOME", self.folder.path())
            .env("CIDRA_PATH", self.path())
            .current_dir(self.folder.path())
            .args(arguments)
    }

    /// `cidra daemon` on this repository that knows these bootstrap nodes, on free ports of this host, and is ready.
    pub fn daemon(&self, bootstrap: &[&str]) -> Daemon {
        self.daemon_with(bootstrap, &["--listen", "/ip4/127.0.0.1/tcp/0"])
    }

    /// The same with flags of its own, which say what to listen on.
    pub fn daemon_with(&self, bootstrap: &[&str], flags: &[&str]) -> Daemon {
        Daemon::start(self.daemon_call(bootstrap, flags), "Daemon is ready")
    }

    /// The call of such a daemon.
    pub fn daemon_call(&self, bootstrap: &[&str], flags: &[&str]) -> Call {
        let known = if bootstrap.is_empty() { &["none"][..] } else { bootstrap };
        self.cidra(["daemon", "--no-mdns", "--api-listen", "/ip4/127.0.0.1/tcp/0", "--gateway-listen", "none"])
            .args(known.iter().flat_map(|address| ["--bootstrap", *address]))
            .args(flags)
    }

    /// Adds a path of the test and gives the CID of its root.
    pub fn add(&self, path: &Path) -> String {
        self.cidra(["add", "-Q"]).arg(path).run().success().text().to_owned()
    }
}
