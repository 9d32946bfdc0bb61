//! Why a request gets no content: a page for people, JSON or plain text for programs.

use std::fmt::Write;

use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cid::Cid;
use cidra_content::gateway::{Format, Wish};
use cidra_content::ipld::codec_name;
use libp2p::PeerId;
use serde_json::json;

use super::page;
use crate::download::FetchError;
use crate::http::describe;
use crate::node::NodeError;

/// A request that gets no content.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    missing: Option<Box<Missing>>,
    /// Seconds.
    retry_after: Option<u32>,
}

/// A block that nobody delivered.
#[derive(Debug)]
struct Missing {
    cid: Cid,
    seconds: u64,
    asked: Vec<(PeerId, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), missing: None, retry_after: None }
    }

    /// The same under another status.
    pub(super) fn under(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// IPIP-524: what a block is, it stays.
    pub(super) fn other_codec(format: Format, codec: u64) -> Self {
        let why = format!(
            "format {:?} requested but block has codec {:?}: codec conversion is not supported, fetch the raw block with \
             ?format=raw and convert it",
            format.name(),
            codec_name(codec)
        );
        Self::new(StatusCode::NOT_ACCEPTABLE, why)
    }

    pub(super) fn unknown_codec(codec: u64) -> Self {
        let why = format!("codec {} is not known here: fetch the raw block with ?format=raw", codec_name(codec));
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    /// Whether it was only not looked for anywhere else.
    pub(super) fn is_not_here(error: &FetchError) -> bool {
        matches!(error, FetchError::NotHere { .. } | FetchError::Network(NodeError::Offline))
    }

    pub(super) fn respond(self, headers: &HeaderMap) -> Response {
        let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let wish = Wish::of(None, &accept.join(","));
        let is_json = wish.format == Some(Format::Json) || self.missing.is_some();
        let (content_type, body) = match (wish.html, is_json) {
            (true, _) => ("text/html; charset=utf-8", page::refusal(self.status, &self.message, &self.details())),
            (false, true) => ("application/json", self.json()),
            (false, false) => ("text/plain; charset=utf-8", format!("{}\n", self.message)),
        };
        let mut response = (self.status, [(CONTENT_TYPE, content_type)], body).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn json(&self) -> String {
        let mut value = json!({"Status": self.status.as_u16(), "Message": self.message});
        if let Some(Missing { cid, seconds, asked }) = self.missing.as_deref() {
            let asked: Vec<_> =
                asked.iter().map(|(peer, said)| json!({"Peer": peer.to_string(), "Said": said})).collect();
            value["Missing"] = json!({"Cid": {"/": cid.to_string()}, "Seconds": seconds, "Asked": asked});
        }
        format!("{value}\n")
    }

    /// Who was asked, a line each.
    fn details(&self) -> String {
        let mut text = String::new();
        for (peer, said) in self.missing.iter().flat_map(|missing| &missing.asked) {
            let _ = writeln!(text, "{peer}: {said}"); // writing to a string does not fail
        }
        text
    }
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        let status = match &error {
            FetchError::NoSuchName { .. } | FetchError::NoSuchKey { .. } => StatusCode::NOT_FOUND,
            error if Self::is_not_here(error) => StatusCode::NOT_FOUND,
            FetchError::NotDelivered { .. } => StatusCode::GATEWAY_TIMEOUT,
            FetchError::Denied { denial, .. } => StatusCode::from_u16(denial.status).unwrap_or(StatusCode::GONE),
            FetchError::UnsupportedHash { .. } => StatusCode::BAD_REQUEST,
            FetchError::NoBlock { .. } => StatusCode::NOT_IMPLEMENTED,
            FetchError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let message = match &error {
            error if Self::is_not_here(error) => match error {
                FetchError::NotHere { cid } => format!("block {cid} is not here, and is not fetched"),
                _ => "this is not here, and this node speaks to no peers".to_owned(),
            },
            error => describe(error),
        };
        let refusal = Self::new(status, message);
        match error {
            FetchError::NotDelivered { cid, waited, report } => {
                let missing = Some(Box::new(Missing { cid, seconds: waited.as_secs(), asked: report.asked }));
                Self { missing, ..refusal }.retry_after(RETRY_UNDELIVERED)
            }
            FetchError::Stopped => refusal.retry_after(RETRY_UNDELIVERED),
            _ => refusal,
        }
    }
}

/// Seconds after which somebody may have come who has it.
const RETRY_UNDELIVERED: u32 = 60;
