//! A socket in the data folder on which a running bootstrap node says that it is well: it asks its network first, so that
//! a process that hangs is not healthy.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cidra_node::network::Network;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Answers on the socket as long as it lives.
pub(crate) struct Status {
    path: PathBuf,
    task: AbortHandle,
}

impl Drop for Status {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.path); // a stale socket counts as none
    }
}

/// Begins to answer. Whoever holds the folder's lock may replace a stale socket.
pub(crate) fn serve(data: &Path, network: Network) -> Result<Status> {
    let path = data.join(SOCKET);
    let _ = fs::remove_file(&path); // there is none, or binding says why not
    let (_folder, short) = short_path(data).with_context(|| format!("cannot use {}", data.display()))?;
    let listener = UnixListener::bind(&short).with_context(|| format!("cannot listen on {}", path.display()))?;
    let answer = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let stats = network.stats().await;
            let line = format!("{READY} {} peers, {} provider records\n", stats.peers, stats.provider_records);
            let _ = timeout(PATIENCE, stream.write_all(line.as_bytes())).await; // who asked went away
        }
    };
    Ok(Status { path, task: tokio::spawn(answer).abort_handle() })
}

/// Asks the process that runs on this folder.
pub(crate) fn ask(data: &Path) -> Result<()> {
    let nobody = || format!("no cidra-bootstrap runs with --data {}", data.display());
    let (_folder, short) = short_path(data).with_context(nobody)?;
    let mut stream = UnixStream::connect(short).with_context(nobody)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    let read = Read::by_ref(&mut stream).take(MAX_ANSWER).read_to_string(&mut answer);
    read.with_context(|| format!("the cidra-bootstrap with --data {} does not answer", data.display()))?;
    if !answer.starts_with(READY) {
        bail!("the cidra-bootstrap with --data {} is not ready", data.display());
    }
    print!("{answer}");
    Ok(())
}

const SOCKET: &str = "status.sock";
const READY: &str = "ready:";
const PATIENCE: Duration = Duration::from_secs(4);
/// A line; more is not read, in bytes.
const MAX_ANSWER: u64 = 1024;

/// A path of a socket has at most 107 bytes; the folder's descriptor, to be held while it is used, makes any path short.
fn short_path(data: &Path) -> io::Result<(File, PathBuf)> {
    let folder = File::open(data)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((folder, path))
}
