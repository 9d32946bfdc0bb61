//! Bytes of a representation, all of them or ranges, as a body that works while it is read.

use std::collections::VecDeque;
use std::ops::Range;

use axum::body::Body;
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use cid::Cid;
use cidra_content::fetch::Selector;
use cidra_content::gateway::Ranges;
use futures::stream::{self, StreamExt};

use super::answer::{response, value};
use super::asked::Asked;
use super::refusal::Refusal;
use super::{Answer, Gateway};
use crate::download::{Download, DownloadEvent, FetchError, FetchOptions};
use crate::node::Node;

/// What an answer's bytes come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// They are here.
    Bytes(Bytes),
    /// A file of so many bytes.
    File(Cid, u64),
}

impl Source {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    /// The first bytes, at most `most`.
    pub(super) async fn first(&self, node: &Node, most: usize, options: &FetchOptions) -> Result<Bytes, FetchError> {
        if let Self::Bytes(bytes) = self {
            return Ok(bytes.slice(..bytes.len().min(most)));
        }
        let mut pieces = Pieces::new(node, self, vec![Piece::Range(0..self.size().min(most as u64))], options);
        let mut first = vec![];
        while let Some(bytes) = pieces.next().await? {
            first.extend_from_slice(&bytes);
        }
        Ok(first.into())
    }
}

impl Gateway {
    /// What of a representation the visitor wants; all of it under another status than 200.
    pub(super) async fn send(
        &self,
        asked: &Asked,
        mut headers: HeaderMap,
        status: StatusCode,
        source: Source,
        tag: &str,
        options: &FetchOptions,
    ) -> Answer {
        let size = source.size();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let ranges = if status == StatusCode::OK { asked.ranges(size, tag) } else { Ranges::All };
        let (status, pieces) = match ranges {
            Ranges::All => (status, vec![Piece::Range(0..size)]),
            Ranges::Unsatisfiable => {
                let headers = HeaderMap::from_iter([(CONTENT_RANGE, value(&format!("bytes */{size}")))]);
                let mut refusal =
                    Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, format!("there are only {size} bytes"))
                        .respond(&asked.headers);
                refusal.headers_mut().extend(headers);
                return Ok(refusal);
            }
            Ranges::Parts(mut parts) if parts.len() == 1 => {
                let part = parts.remove(0);
                headers.insert(CONTENT_RANGE, content_range(&part, size));
                (StatusCode::PARTIAL_CONTENT, vec![Piece::Range(part)])
            }
            Ranges::Parts(parts) => {
                let boundary = format!("{:032x}", rand::random::<u128>());
                let media_type =
                    headers.insert(CONTENT_TYPE, value(&format!("multipart/byteranges; boundary={boundary}")));
                let media_type = media_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
                (
                    StatusCode::PARTIAL_CONTENT,
                    multipart(&parts, size, &boundary, media_type.to_str().unwrap_or_default()),
                )
            }
        };
        let length: u64 = pieces.iter().map(Piece::length).sum();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if asked.head {
            return Ok(response(status, headers, Body::empty()));
        }
        let mut pieces = Pieces::new(&self.node, &source, pieces, options);
        // What fails before the first byte has a status of its own.
        let Some(first) = pieces.next().await.map_err(|error| asked.failed(error))? else {
            return Ok(response(status, headers, Body::empty()));
        };
        let rest = stream::try_unfold(pieces, |mut pieces| async move {
            let next = pieces.next().await.inspect_err(cut)?;
            Ok::<_, FetchError>(next.map(|bytes| (bytes, pieces)))
        });
        let body = stream::once(async { Ok(first) }).chain(rest);
        Ok(response(status, headers, Body::from_stream(body)))
    }
}

/// Told where a body ends before its content: its error cuts the connection.
pub(super) fn cut(error: &FetchError) {
    tracing::debug!(%error, "an answer of the gateway was cut off");
}

/// A part of a body.
enum Piece {
    Text(Bytes),
    Range(Range<u64>),
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Range(range) => range.end - range.start,
        }
    }
}

fn multipart(parts: &[Range<u64>], size: u64, boundary: &str, media_type: &str) -> Vec<Piece> {
    let mut pieces = vec![];
    for part in parts {
        let range = content_range(part, size);
        let range = range.to_str().expect("it is made of digits");
        let head = format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n");
        pieces.push(Piece::Text(head.into()));
        pieces.push(Piece::Range(part.clone()));
    }
    pieces.push(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
    pieces
}

fn content_range(part: &Range<u64>, size: u64) -> HeaderValue {
    value(&format!("bytes {}-{}/{size}", part.start, part.end - 1))
}

/// The pieces of a body, one after the other.
struct Pieces {
    node: Node,
    source: Source,
    options: FetchOptions,
    rest: VecDeque<Piece>,
    download: Option<Download>,
}

impl Pieces {
    fn new(node: &Node, source: &Source, pieces: Vec<Piece>, options: &FetchOptions) -> Self {
        Self {
            node: node.clone(),
            source: source.clone(),
            options: options.clone(),
            rest: pieces.into(),
            download: None,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            if let Some(download) = &mut self.download {
                match download.next().await {
                    Some(Ok(DownloadEvent::Bytes(bytes))) if !bytes.is_empty() => return Ok(Some(bytes)),
                    Some(event) => drop(event?),
                    None => self.download = None,
                }
                continue;
            }
            match (self.rest.pop_front(), &self.source) {
                (None, _) => return Ok(None),
                (Some(Piece::Text(text)), _) => return Ok(Some(text)),
                (Some(Piece::Range(range)), _) if range.is_empty() => {}
                (Some(Piece::Range(range)), Source::Bytes(bytes)) => {
                    return Ok(Some(bytes.slice(range.start as usize..range.end as usize)));
                }
                (Some(Piece::Range(range)), Source::File(cid, _)) => {
                    let selector = Selector::Entity { range: Some(range) };
                    self.download = Some(self.node.download(*cid, selector, self.options.clone()));
                }
            }
        }
    }
}
