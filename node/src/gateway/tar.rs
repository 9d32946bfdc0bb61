//! Files and folders in one TAR stream.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::ACCEPT_RANGES;
use cidra_content::gateway::Format;
use futures::stream::{self, StreamExt};

use super::answer::{Keep, disposition, headers, no_sniffing, not_modified, response};
use super::asked::Asked;
use super::body::cut;
use super::route::Target;
use super::{Answer, Gateway};
use crate::download::{FetchError, FetchOptions};
use crate::node::Resolved;

impl Gateway {
    pub(super) async fn tar(&self, asked: &Asked, target: &Target, found: &Resolved, options: &FetchOptions) -> Answer {
        // Times of entries that have none are those of the answer.
        let tag = format!("W/\"{}.x-tar\"", found.cid);
        let mut headers = headers(asked, target, found, &tag, Keep::Content);
        self.node.entity(&found.cid, options).await.map_err(|error| asked.failed(error))?;
        if asked.has(&tag) {
            return Ok(not_modified(headers));
        }
        no_sniffing(&mut headers, Format::Tar.media_type());
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
        let root = target.names().last().cloned().unwrap_or_else(|| found.cid.to_string());
        let filename = asked.filename().map_or_else(|| format!("{root}.tar"), str::to_owned);
        disposition(&mut headers, "attachment", &filename);
        if asked.head {
            return Ok(response(StatusCode::OK, headers, Body::empty()));
        }
        let mut tarball = self.node.tarball(found.cid, root, options.clone());
        // What fails at once has a status of its own: names that lead out of the folder, too.
        let mut first = vec![];
        while first.len() < BEFORE {
            let Some(piece) = tarball.next().await else { break };
            first.push(Ok(piece.map_err(|error| asked.failed(error))?));
        }
        let rest = stream::try_unfold(tarball, |mut tarball| async move {
            let next = tarball.next().await.transpose().inspect_err(cut)?;
            Ok::<_, FetchError>(next.map(|bytes| (bytes, tarball)))
        });
        Ok(response(StatusCode::OK, headers, Body::from_stream(stream::iter(first).chain(rest))))
    }
}

/// Pieces that are there before the status is told.
const BEFORE: usize = 8;
