//! Many blocks at once: queued where they are asked for, read and hashed while whoever asked does something else.

use std::pin::Pin;
use std::task::{Context, Poll};

use cid::Cid;
use cidra_content::block::Block;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::local::Coming;
use super::tenure::Place;
use super::{Store, StoreError};

/// Blocks that are being read, in the order in which they were named; `None` for those that are not here or not whole.
///
/// It holds nothing of the store, which may be handed over or closed meanwhile. Dropped, what is not read yet is not.
#[derive(Debug)]
pub struct Reading(State);

type Blocks = Result<Vec<Option<Block>>, StoreError>;

#[derive(Debug)]
enum State {
    Coming(Coming<Vec<Option<Block>>>),
    Here(Option<Blocks>),
}

impl Store {
    /// Begin to read blocks, as [`block`](Self::block) does. One reader thread reads all of them: whoever wants two to do it
    /// asks twice. All of them are in memory at a time.
    pub async fn read_blocks(&self, cids: Vec<Cid>) -> Result<Reading, StoreError> {
        match &*self.0.place().await? {
            Place::Local(store) => Ok(Reading(State::Coming(store.read_blocks(cids).await?))),
            Place::Remote(store) => {
                let block = async |cid| match Block::inline(cid) {
                    Some(block) => Ok(Some(block)),
                    None => store.block(&cid).await,
                };
                let blocks = stream::iter(cids).map(block).buffered(QUESTIONS).try_collect().await;
                Ok(Reading(State::Here(Some(blocks))))
            }
        }
    }
}

/// Questions that another process is asked at a time for one reading; others ask it meanwhile.
const QUESTIONS: usize = 4;

impl Future for Reading {
    type Output = Blocks;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Blocks> {
        match &mut self.0 {
            State::Coming(answer) => Pin::new(answer).poll(context).map(|read| read.unwrap_or(Err(StoreError::Closed))),
            State::Here(blocks) => Poll::Ready(blocks.take().expect("a future is not polled after its end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use cidra_content::block::RAW;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::Barrier;

    use super::*;
    use crate::store::Options;

    #[tokio::test]
    async fn another_process_is_asked_for_several_blocks_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, dir) = (folder.path().join("socket"), folder.path().join("store"));
        let block = Block::new(RAW, Bytes::from_static(b"the only one"));
        let daemon = tokio::spawn(serve(UnixListener::bind(&socket).unwrap(), block.clone()));
        let store = Store::open(&dir, Options::default()).unwrap();
        let ticket = store.hand_over().await.unwrap();
        store.join(&socket, &ticket).await.unwrap();

        let read = async { store.read_blocks(vec![*block.cid(); 2 * QUESTIONS]).await.unwrap().await.unwrap() };
        let read = tokio::time::timeout(Duration::from_secs(20), read).await;

        assert_eq!(read.expect("all are asked for"), vec![Some(block); 2 * QUESTIONS]);
        daemon.abort();
    }

    /// A daemon that answers once it has as many questions as may be asked, each with the same block.
    async fn serve(listener: UnixListener, block: Block) {
        let all = Arc::new(Barrier::new(QUESTIONS));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, block.clone(), all.clone()));
        }
    }

    async fn answer(mut stream: UnixStream, block: Block, all: Arc<Barrier>) {
        loop {
            let mut asked = Vec::new();
            while !asked.windows(4).any(|end| end == b"\r\n\r\n") || asked.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut asked).await.unwrap() == 0 {
                    return;
                }
            }
            if String::from_utf8_lossy(&asked).contains("store/join") {
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head).await.unwrap();
                return std::future::pending().await;
            }
            all.wait().await;
            let body = [b"{\"Ok\":true}\n", &block.data()[..]].concat();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        }
    }
}
