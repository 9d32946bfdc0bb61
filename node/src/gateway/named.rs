//! Content and records behind names.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use cidra_content::Block;
use cidra_content::block::RAW;
use cidra_content::gateway::Format;
use cidra_content::gateway::host::key_label;
use cidra_content::ipns::{Name, Record};
use cidra_content::path::{ContentPath, NamePath};

use super::Gateway;
use super::answer::{disposition, no_sniffing, not_modified, response, value};
use super::asked::Asked;
use super::refusal::Refusal;
use super::route::Route;
use crate::http::describe;
use crate::names::{NameError, Resolving, now};

/// Where a name leads at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) content: ContentPath,
    /// For how long that holds, where it is known.
    pub(super) ttl: Option<Duration>,
}

impl Gateway {
    pub(super) async fn resolve(&self, asked: &Asked, name: &str) -> Result<Named, Refusal> {
        let path = NamePath { name: name.to_owned(), segments: vec![], filename: None };
        let named = self.node.resolve_name(&path, &self.resolving(asked)).await.map_err(refused)?;
        Ok(Named { content: named.content, ttl: named.ttl })
    }

    /// Whether anything is known of the name of a website.
    pub(super) async fn knows(&self, asked: &Asked, name: &str) -> bool {
        self.node.knows_name(name, &self.resolving(asked)).await
    }

    /// The record of a name, for whoever proves it.
    pub(super) async fn record(&self, asked: &Asked, name: &str, rest: &str) -> Result<Route, Refusal> {
        let bad = |why: String| Refusal::new(StatusCode::BAD_REQUEST, why);
        if !matches!(rest, "" | "/") {
            return Err(bad(format!("an IPNS record is asked for, and {rest:?} is a path below its name")));
        }
        let name = Name::parse(name).map_err(|error| {
            let why = describe(&error);
            bad(format!("an IPNS record is asked for, and {name:?} is not the name of a key: {why}"))
        })?;
        let record = self.node.find_record(&name, &self.resolving(asked)).await.map_err(refused)?;
        Ok(Route::Record(Box::new(record)))
    }

    pub(super) fn resolving(&self, asked: &Asked) -> Resolving {
        Resolving {
            offline: !self.config.fetch || asked.only_if_cached || self.node.settings().offline,
            timeout: Duration::from_secs(self.config.timeout.into()),
            ..Resolving::default()
        }
    }
}

/// What tells one record from another.
pub(super) fn tag_of(record: &Record) -> String {
    format!("\"{}.ipns-record\"", Block::new(RAW, record.bytes().clone()).cid())
}

/// A record as it is.
pub(super) fn show(asked: &Asked, record: &Record) -> Response {
    let tag = tag_of(record);
    let age = record.ttl().min(now().until(record.validity()));
    let path = format!("/ipns/{}", record.name());
    let mut headers = HeaderMap::from_iter([
        (ETAG, value(&tag)),
        (CACHE_CONTROL, value(&format!("public, max-age={}", age.as_secs()))),
        (HeaderName::from_static("x-ipfs-path"), value(&path)),
    ]);
    if asked.has(&tag) {
        return not_modified(headers);
    }
    no_sniffing(&mut headers, Format::IpnsRecord.media_type());
    let filename = asked.filename().map_or_else(|| format!("{}.ipns-record", record.name()), str::to_owned);
    disposition(&mut headers, "attachment", &filename);
    response(StatusCode::OK, headers, Body::from(record.bytes().clone()))
}

/// What a label under `ipns` should be, where it is the name of a key: one key has one origin.
pub(super) fn canonical(label: &str) -> Option<String> {
    let cid = cidra_content::path::parse_cid(label).ok()?;
    key_label(&cid).ok()
}

/// Whether a key is called by its peer id, which is no CID.
pub(super) fn of_peer_id(name: &str) -> Option<Name> {
    let is_peer_id = name.starts_with("Qm") || name.starts_with('1');
    Name::parse(name).ok().filter(|_| is_peer_id)
}

fn refused(error: NameError) -> Refusal {
    let status = match error {
        NameError::TooLong { .. } | NameError::NoName { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, describe(&error))
}
