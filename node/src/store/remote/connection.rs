//! One HTTP connection to the socket of the repository's holder, and the task that moves it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::repository::socket;
use crate::store::wire::ANSWER_MAX;

/// A connection; dropped, it is closed.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Pieces>,
    _driver: Task,
}

impl Connection {
    pub(super) async fn open(path: &Path) -> Result<Connection, Lost> {
        let stream = socket::connect(path).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = async move {
            // Whoever waits for an answer hears of it.
            let _ = connection.await;
        };
        Ok(Connection { sender, _driver: Task::spawn(driver) })
    }

    /// Send a call of ours; the beginning of its answer. A refusal is an error.
    pub(super) async fn post(&mut self, call: &str, pieces: Vec<Bytes>) -> Result<Answer, Lost> {
        let request = Request::post(format!("/api/v0/cidra/{call}"))
            .header(HOST, "localhost")
            .body(Pieces(pieces.into()))
            .expect("a literal path and a literal header");
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        if head.status == StatusCode::OK {
            return Ok(Answer(body));
        }
        let said = Limited::new(body, REFUSAL_MAX).collect().await.map(|said| said.to_bytes()).unwrap_or_default();
        let said = serde_json::from_slice(&said)
            .map_or_else(|_| String::from_utf8_lossy(&said).into_owned(), |Refusal { message }| message);
        match head.status {
            StatusCode::BAD_REQUEST => Err(Lost::Refused(said)),
            status => Err(Lost::Gone(format!("{status}: {said}"))),
        }
    }
}

/// A refusal of the RPC.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    message: String,
}

/// The longest refusal that is read to its end, in bytes.
const REFUSAL_MAX: usize = 64 * 1024;

/// What comes back.
#[derive(Debug)]
pub(super) struct Answer(Incoming);

impl Answer {
    /// All of it.
    pub(super) async fn whole(self) -> Result<Bytes, Lost> {
        let collected = Limited::new(self.0, ANSWER_MAX).collect().await;
        Ok(collected.map_err(|error| Lost::Gone(error.to_string()))?.to_bytes())
    }

    /// Wait for its end, and say what ended it.
    pub(super) async fn until_end(&mut self) -> String {
        loop {
            match self.0.frame().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error.to_string(),
                None => return "it was stopped".to_owned(),
            }
        }
    }
}

/// A body that is there already, in pieces.
#[derive(Debug)]
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum Lost {
    /// The other side cannot be reached, went away or knows nothing of us.
    #[error("{0}")]
    Gone(String),
    /// It does not take this question, and the next one perhaps.
    #[error("{0}")]
    Refused(String),
}

impl From<std::io::Error> for Lost {
    fn from(error: std::io::Error) -> Lost {
        Lost::Gone(error.to_string())
    }
}

impl From<hyper::Error> for Lost {
    fn from(error: hyper::Error) -> Lost {
        Lost::Gone(error.to_string())
    }
}
