//! The body of an upload, piece by piece.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use std::pin::Pin;

use super::answer::Failure;
use super::multipart::{Decoder, Event, Part};
use crate::http::describe;

/// A body in `multipart/form-data`. It is read as its pieces are asked for, so that a slow importer slows its sender.
pub(super) struct Upload {
    body: Chunks,
    decoder: Decoder,
    place: Place,
}

/// Where the parts that are asked for as a whole stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    /// The next part began.
    Within,
    End,
}

/// A piece of it.
pub(super) enum Piece {
    /// A part begins.
    Part(Part),
    /// The next bytes of it.
    Data(Bytes),
}

impl Upload {
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Result<Self, Failure> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let decoder = Decoder::new(content_type).map_err(|error| Failure::misused(&error))?;
        Ok(Self { body: Chunks::new(body), decoder, place: Place::Start })
    }

    /// The next piece; `None` after the last. Fails when the upload is malformed or ends early.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, Failure> {
        loop {
            match self.decoder.next().map_err(|error| Failure::misused(&error))? {
                Some(Event::Part(part)) => return Ok(Some(Piece::Part(part))),
                Some(Event::Data(bytes)) => return Ok(Some(Piece::Data(bytes))),
                Some(Event::End) => {
                    self.body.drain().await;
                    return Ok(None);
                }
                None => match self.body.next().await? {
                    Some(bytes) => self.decoder.push(&bytes),
                    None => {
                        self.decoder.finish().map_err(|error| Failure::misused(&error))?;
                        return Ok(None);
                    }
                },
            }
        }
    }

    /// The next part, gathered; `None` after the last. `too_long` says what is wrong with one of more than `most` bytes.
    pub(super) async fn next_whole(
        &mut self,
        most: usize,
        too_long: impl FnOnce() -> Failure,
    ) -> Result<Option<Bytes>, Failure> {
        if self.place == Place::Start {
            self.place = match self.next().await? {
                Some(Piece::Part(_)) => Place::Within,
                Some(Piece::Data(_)) => return Err(Failure::usage("expected a file")),
                None => Place::End,
            };
        }
        if self.place == Place::End {
            return Ok(None);
        }
        let mut whole = BytesMut::new();
        loop {
            match self.next().await? {
                Some(Piece::Data(bytes)) if whole.len() + bytes.len() > most => return Err(too_long()),
                Some(Piece::Data(bytes)) => whole.extend_from_slice(&bytes),
                Some(Piece::Part(_)) => break,
                None => {
                    self.place = Place::End;
                    break;
                }
            }
        }
        Ok(Some(whole.freeze()))
    }

    /// As [`Chunks::drain`].
    pub(super) async fn drain(&mut self) {
        self.body.drain().await;
    }
}

/// The bytes of a body as they come.
pub(super) struct Chunks {
    body: Pin<Box<dyn Stream<Item = Result<Bytes, axum::Error>> + Send>>,
}

impl Chunks {
    pub(super) fn new(body: Body) -> Self {
        Self { body: Box::pin(body.into_data_stream()) }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.body.next().await.transpose() {
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(Failure::failed(format!("the upload was cut short: {}", describe(&error)))),
        }
    }

    /// Reads on for a while and forgets it: a connection that is closed while its other side still sends is reset, and the
    /// answer that says why could be lost with it.
    pub(super) async fn drain(&mut self) {
        let all = async {
            let mut left = DRAINED;
            while let Some(Ok(bytes)) = self.body.next().await
                && left > bytes.len()
            {
                left -= bytes.len();
            }
        };
        // Whoever sends more than this loses the answer.
        let _ = tokio::time::timeout(DRAIN_TIME, all).await;
    }
}

/// So much of an upload that failed is read on, in bytes …
const DRAINED: usize = 32 * 1024 * 1024;
/// … and for so long.
const DRAIN_TIME: Duration = Duration::from_secs(2);
