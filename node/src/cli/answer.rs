//! What the RPC answers: one object, a stream of them, plain bytes or a tree. An error may also come at the end of a stream.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::tree::{self, Frame};

use super::call::Body;
use super::failure::{Exit, Failure, Outcome};

/// An answer whose beginning says that the call was taken.
pub(super) struct Answer {
    body: Body,
    lines: BytesMut,
    frames: tree::Decoder,
}

impl Answer {
    /// Reads the status; a refusal becomes the failure it describes.
    pub(super) async fn begin(response: Response<Body>) -> Outcome<Self> {
        let (head, body) = response.into_parts();
        let mut answer = Self { body, lines: BytesMut::new(), frames: tree::Decoder::default() };
        if head.status == StatusCode::OK {
            return Ok(answer);
        }
        let text = answer.text(LARGEST_REFUSAL).await?;
        Err(refusal(head.status, &head.headers, &text))
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn bytes(&mut self) -> Outcome<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| Failure::lost("the answer was cut short", error.as_ref()))?;
            match frame.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes)),
                Err(frame) => {
                    if let Some(failure) = frame.trailers_ref().and_then(failure_in_trailers) {
                        return Err(failure);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The next line, which holds one JSON object; `None` at the end.
    pub(super) async fn line(&mut self) -> Outcome<Option<Bytes>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.lines[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.lines.split_to(searched + end).freeze();
                self.lines.advance(1);
                searched = 0;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            searched = self.lines.len();
            if searched > LONGEST_LINE {
                return Err(Failure::failed(format!("a line of the answer has more than {LONGEST_LINE} bytes")));
            }
            match self.bytes().await? {
                Some(bytes) => self.lines.extend_from_slice(&bytes),
                None if self.lines.trim_ascii().is_empty() => return Ok(None),
                None => return Ok(Some(self.lines.split().freeze())),
            }
        }
    }

    /// Whether the next line is here: nothing is waited for.
    pub(super) fn has_line(&self) -> bool {
        self.lines.contains(&b'\n')
    }

    /// The next object of a stream.
    pub(super) async fn object<T: DeserializeOwned>(&mut self) -> Outcome<Option<T>> {
        match self.line().await? {
            Some(line) => parse(&line).map(Some),
            None => Ok(None),
        }
    }

    /// The only line of an answer.
    pub(super) async fn only_line(mut self) -> Outcome<Bytes> {
        let line = self.line().await?.ok_or_else(|| Failure::failed("the answer is empty"))?;
        while self.line().await?.is_some() {}
        Ok(line)
    }

    /// The only object of an answer.
    pub(super) async fn only<T: DeserializeOwned>(self) -> Outcome<T> {
        parse(&self.only_line().await?)
    }

    /// The next frame of a tree, its end and errors included; `None` after the end.
    pub(super) async fn frame(&mut self) -> Outcome<Option<Frame>> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Ok(Some(frame));
            }
            match self.bytes().await? {
                Some(bytes) => self.frames.push(bytes),
                None => {
                    self.frames.finish().map_err(|error| Failure::lost("the answer was cut short", &error))?;
                    return Ok(None);
                }
            }
        }
    }

    /// Reads to the end, for an answer that says nothing.
    pub(super) async fn done(mut self) -> Outcome {
        while self.bytes().await?.is_some() {}
        Ok(())
    }

    async fn text(&mut self, limit: usize) -> Outcome<String> {
        let mut text = Vec::new();
        while let Some(bytes) = self.bytes().await? {
            text.extend_from_slice(&bytes[..bytes.len().min(limit - text.len())]);
            if text.len() == limit {
                break;
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// No message for a person is longer.
const LARGEST_REFUSAL: usize = 64 * 1024;

/// A list of every peer of a large node is one line; more than this is not an answer.
const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// Reads an object of an answer.
pub(super) fn parse<T: DeserializeOwned>(line: &[u8]) -> Outcome<T> {
    serde_json::from_slice(line).map_err(|error| {
        let text = String::from_utf8_lossy(&line[..line.len().min(200)]);
        Failure::because(format!("the answer is not what this version expects ({text})"), &error)
    })
}

/// Kubo's form of an error.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    message: String,
}

fn refusal(status: StatusCode, headers: &HeaderMap, text: &str) -> Failure {
    let message = match serde_json::from_str::<Refusal>(text) {
        Ok(refusal) => refusal.message,
        Err(_) if text.trim().is_empty() => status.to_string(),
        Err(_) => text.trim().to_owned(),
    };
    match status {
        StatusCode::UNAUTHORIZED => Failure::failed(format!("{message}: give a token of this API with --api-auth")),
        StatusCode::NOT_FOUND => Failure::failed(format!("that node does not know this command: {message}")),
        _ => Failure::new(exit_in(headers), message),
    }
}

fn failure_in_trailers(trailers: &HeaderMap) -> Option<Failure> {
    let message = trailers.get("X-Stream-Error")?;
    Some(Failure::new(exit_in(trailers), String::from_utf8_lossy(message.as_bytes())))
}

fn exit_in(headers: &HeaderMap) -> Exit {
    let code = headers.get("X-Cidra-Exit").and_then(|value| value.to_str().ok()?.parse().ok());
    code.map_or(Exit::Failed, Exit::from_code)
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use hyper::body;

    use super::*;

    fn response(status: u16, exit: Option<&str>, text: &'static str) -> Response<Body> {
        let mut response = Response::builder().status(status);
        if let Some(exit) = exit {
            response = response.header("X-Cidra-Exit", exit);
        }
        response.body(Full::from(text).map_err(|never| match never {}).boxed_unsync()).unwrap()
    }

    async fn refused(response: Response<Body>) -> Failure {
        Answer::begin(response).await.err().expect("a refusal")
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_message_and_exit_code() {
        let text = r#"{"Message":"no link named \"x\"","Code":0,"Type":"error"}"#;

        let failure = refused(response(500, Some("3"), text)).await;

        assert_eq!((failure.exit(), failure.message()), (Exit::NotFound, "no link named \"x\""));
    }

    #[tokio::test]
    async fn a_refusal_of_another_program_is_shown_as_it_is() {
        assert_eq!(refused(response(403, None, "403 - Forbidden\n")).await.message(), "403 - Forbidden");
        assert_eq!(refused(response(500, None, "")).await.message(), "500 Internal Server Error");
    }

    #[tokio::test]
    async fn lines_are_found_however_the_bytes_are_cut() {
        let pieces = ["{\"A\"", ":1}\n\n{", "\"A\":2}\n{\"A\":3}"];
        let frames = pieces.map(|piece| Ok(body::Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();

        let mut answer = Answer::begin(Response::new(body)).await.unwrap();

        let mut lines = vec![];
        while let Some(line) = answer.line().await.unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["{\"A\":1}", "{\"A\":2}", "{\"A\":3}"]);
    }

    #[tokio::test]
    async fn an_error_after_the_first_objects_is_an_error() {
        let mut trailers = HeaderMap::new();
        trailers.insert("X-Stream-Error", "peer gone".parse().unwrap());
        trailers.insert("X-Cidra-Exit", "3".parse().unwrap());
        let frames = [Ok(body::Frame::data(Bytes::from("{}\n"))), Ok(body::Frame::trailers(trailers))];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();

        let mut answer = Answer::begin(Response::new(body)).await.unwrap();

        assert!(answer.line().await.unwrap().is_some());
        let failure = answer.line().await.unwrap_err();
        assert_eq!((failure.exit(), failure.message()), (Exit::NotFound, "peer gone"));
    }
}
