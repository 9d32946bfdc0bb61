//! What goes back to a caller: one JSON object, a stream of them, or bytes; and a failure, in the form that each of them allows.
//!
//! A stream's work runs inside its body: it advances as the caller reads, and it is dropped with the connection. No status is
//! sent before the first item is there, so what fails early is an ordinary error; what fails later is told in trailers.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, TRAILER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cidra_content::unixfs::edit::EditError;
use futures::future::{BoxFuture, poll_fn};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::call::Call;
use crate::download::FetchError;
use crate::http::describe;
use crate::node::FilesError;

/// Why a call failed, and what a command that made it should exit with.
#[derive(Debug)]
pub(super) struct Failure {
    reason: Reason,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The caller asked wrongly.
    Usage,
    /// It did not work.
    Failed,
    /// What was asked for is not there, or nobody delivered it.
    Missing,
}

impl Failure {
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { reason: Reason::Usage, message: message.into() }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { reason: Reason::Failed, message: message.into() }
    }

    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self { reason: Reason::Missing, message: message.into() }
    }

    /// As [`usage`](Self::usage), from an error and what it stems from.
    pub(super) fn misused(error: &dyn Error) -> Self {
        Self::usage(describe(error))
    }

    fn of_files(error: &FilesError) -> Self {
        match error {
            FilesError::Edit(EditError::NotFound) => Self::missing(describe(error)),
            FilesError::Fetch(fetch) if fetch.is_absence() => Self::missing(describe(error)),
            _ => Self::failed(describe(error)),
        }
    }

    /// The exit code of INTERFACE.md.
    pub(super) fn exit(&self) -> u8 {
        match self.reason {
            Reason::Failed => 1,
            Reason::Usage => 2,
            Reason::Missing => 3,
        }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The same, with where it failed in front.
    pub(super) fn within(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    fn trailers(&self) -> HeaderMap {
        let text: String =
            self.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TRAILER).collect();
        let text = HeaderValue::from_bytes(text.as_bytes()).expect("no control characters are left");
        HeaderMap::from_iter([(STREAM_ERROR, text), (EXIT, HeaderValue::from(u16::from(self.exit())))])
    }
}

/// The most characters of a message in a trailer; clients bound the size of heads (hyper: 16 KiB of trailers).
const MAX_TRAILER: usize = 2048;

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let any: &(dyn Error + 'static) = &error;
        if let Some(files) = any.downcast_ref::<FilesError>() {
            return Self::of_files(files);
        }
        match any.downcast_ref::<FetchError>() {
            Some(fetch) if fetch.is_absence() => Self::missing(describe(&error)),
            _ => Self::failed(describe(&error)),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, code) = match self.reason {
            Reason::Usage => (StatusCode::BAD_REQUEST, 1),
            Reason::Failed | Reason::Missing => (StatusCode::INTERNAL_SERVER_ERROR, 0),
        };
        let mut response = one(&json!({"Message": self.message, "Code": code, "Type": "error"}));
        *response.status_mut() = status;
        response.headers_mut().insert(EXIT, HeaderValue::from(u16::from(self.exit())));
        response
    }
}

/// What a handler gives.
pub(super) type Answer = Result<Response, Failure>;

/// One JSON object.
pub(super) fn one(value: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(json_line(value)));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    exposed(response)
}

/// No content at all, as commands without output answer.
pub(super) fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    exposed(response)
}

/// What a stream is made of.
pub(super) enum Shape {
    /// JSON objects, one a line.
    Objects,
    /// Bytes of this type; their number where it is known.
    Bytes(HeaderValue, Option<u64>),
}

impl Shape {
    /// Bytes that a browser does not render.
    pub(super) fn plain(length: Option<u64>) -> Self {
        Self::Bytes(HeaderValue::from_static("text/plain"), length)
    }

    pub(super) fn bytes(content_type: &'static str, length: Option<u64>) -> Self {
        Self::Bytes(HeaderValue::from_static(content_type), length)
    }
}

/// Answers with what `work` sends, as it sends it.
pub(super) async fn stream<W>(call: &Call, shape: Shape, work: impl FnOnce(Output) -> W) -> Answer
where
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE);
    let mut body =
        WorkBody { work: Some(Box::pin(work(Output { sender }))), receiver, first: None, trailers: call.trailers };
    if let Some(first) = poll_fn(|context| body.poll_item(context)).await {
        body.first = Some(first?);
    }
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    match shape {
        Shape::Objects => {
            headers.insert(CONTENT_TYPE, JSON);
            headers.insert(HeaderName::from_static("x-chunked-output"), HeaderValue::from_static("1"));
        }
        Shape::Bytes(content_type, length) => {
            headers.insert(CONTENT_TYPE, content_type);
            headers.insert(HeaderName::from_static("x-stream-output"), HeaderValue::from_static("1"));
            if let Some(length) = length {
                headers.insert(HeaderName::from_static("x-content-length"), HeaderValue::from(length));
            }
        }
    }
    headers.insert(TRAILER, HeaderValue::from_static("X-Stream-Error, X-Cidra-Exit"));
    Ok(exposed(response))
}

/// How many items may wait for the caller to read them.
const QUEUE: usize = 4;

/// Where work puts its items. It waits while the caller does not read.
#[derive(Clone)]
pub(super) struct Output {
    sender: mpsc::Sender<Bytes>,
}

impl Output {
    pub(super) async fn bytes(&self, bytes: Bytes) {
        // An empty chunk would say that the body has ended.
        if !bytes.is_empty() {
            self.sender.send(bytes).await.expect("the body that runs this work holds the other end");
        }
    }

    pub(super) async fn object(&self, value: &impl Serialize) {
        self.bytes(json_line(value)).await;
    }

    /// Many small objects in one piece.
    pub(super) async fn objects<T: Serialize>(&self, values: impl IntoIterator<Item = T>) {
        let mut lines = vec![];
        values.into_iter().for_each(|value| put_json_line(&mut lines, &value));
        self.bytes(lines.into()).await;
    }
}

struct WorkBody {
    work: Option<BoxFuture<'static, Result<(), Failure>>>,
    receiver: mpsc::Receiver<Bytes>,
    first: Option<Bytes>,
    trailers: bool,
}

impl WorkBody {
    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if let Poll::Ready(Some(item)) = self.receiver.poll_recv(context) {
            return Poll::Ready(Some(Ok(item)));
        }
        // Where nothing more comes, only a task that has had its share finds a queue pending that is not empty.
        let Some(work) = &mut self.work else { return Poll::Ready(self.receiver.try_recv().ok().map(Ok)) };
        let ended = work.as_mut().poll(context);
        let failure = match ended {
            Poll::Ready(Ok(())) => None,
            // What it sent before it failed comes first; only then is its failure told.
            Poll::Ready(Err(failure)) => Some(failure),
            Poll::Pending => {
                return match self.receiver.poll_recv(context) {
                    Poll::Ready(Some(item)) => Poll::Ready(Some(Ok(item))),
                    // It may have let go of its output and still have something to do.
                    Poll::Ready(None) | Poll::Pending => Poll::Pending,
                };
            }
        };
        self.work = failure.map(|failure| Box::pin(std::future::ready(Err(failure))) as _);
        match self.receiver.try_recv() {
            Ok(item) => Poll::Ready(Some(Ok(item))),
            Err(_) => match self.work.take() {
                None => Poll::Ready(None),
                Some(mut failed) => failed.as_mut().poll(context).map(|result| result.err().map(Err)),
            },
        }
    }
}

impl hyper::body::Body for WorkBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let item = std::task::ready!(self.poll_item(context));
        Poll::Ready(item.map(|item| match item {
            Ok(bytes) => Ok(Frame::data(bytes)),
            Err(failure) if self.trailers => Ok(Frame::trailers(failure.trailers())),
            Err(failure) => Err(CutOff { message: failure.message }),
        }))
    }
}

fn json_line(value: &impl Serialize) -> Bytes {
    let mut line = vec![];
    put_json_line(&mut line, value);
    line.into()
}

fn put_json_line(lines: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(&mut *lines, value).expect("answers have a JSON form, and memory takes it");
    lines.push(b'\n');
}

/// As Kubo tells browsers which of its headers they may show to a page.
fn exposed(mut response: Response) -> Response {
    let names = HeaderValue::from_static("X-Stream-Output, X-Chunked-Output, X-Content-Length");
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("access-control-allow-headers"), names.clone());
    headers.insert(HeaderName::from_static("access-control-expose-headers"), names);
    response
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The header, or trailer, with the exit code that a command should end with.
pub const EXIT: HeaderName = HeaderName::from_static("x-cidra-exit");
/// The trailer with the message of an error that came after the first item.
pub const STREAM_ERROR: HeaderName = HeaderName::from_static("x-stream-error");

/// A stream ended early towards a caller that reads no trailers: the connection is cut, so that the end is not taken for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off: {message}")]
pub(super) struct CutOff {
    message: String,
}
