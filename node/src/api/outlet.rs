//! How a command line in the same process has a file written where it shall stand, in place of being handed its bytes. It goes
//! along with a call beside the request: no connection carries it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

/// What a `cidra/get` of this process asks the command line when it sends the notes `Place` and `Placed`.
#[derive(Clone, Debug)]
pub struct Outlet(Arc<Mutex<mpsc::Receiver<Reply>>>);

/// What the command line says.
#[derive(Debug)]
pub enum Reply {
    /// After `Place`: send the bytes of the file.
    Bytes,
    /// After `Place`: write it into this one, which is open for reading and writing at this absolute path.
    Into(File, PathBuf),
    /// After `Placed`: it stands there now.
    Stands(PathBuf),
}

impl Outlet {
    /// An outlet, and where the command line puts its replies.
    pub fn new() -> (Outlet, mpsc::Sender<Reply>) {
        let (sender, receiver) = mpsc::channel(1);
        (Outlet(Arc::new(Mutex::new(receiver))), sender)
    }

    /// The next reply; `None` when the command line has gone.
    pub(super) async fn reply(&self) -> Option<Reply> {
        self.0.lock().await.recv().await
    }
}
