//! What a request asks for.

use axum::http::header::{ACCEPT, CACHE_CONTROL, HOST, IF_NONE_MATCH, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use cidra_content::gateway::tag::{none_match_names, range_applies};
use cidra_content::gateway::{Query, Ranges, Wish};
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use super::route::Target;
use crate::download::FetchError;

/// A request, as far as it decides what is answered.
pub(super) struct Asked {
    /// Only the headers are wanted.
    pub(super) head: bool,
    /// By which name this gateway was called; empty where it was by none.
    pub(super) host: String,
    /// Whether a proxy before this gateway was asked over TLS.
    pub(super) secure: bool,
    /// The path of the address, decoded.
    pub(super) path: String,
    pub(super) query: Query,
    /// The query as it stands in the address, with its question mark.
    pub(super) suffix: String,
    pub(super) wish: Wish,
    /// Nothing is to be fetched for it.
    pub(super) only_if_cached: bool,
    pub(super) headers: HeaderMap,
}

impl Asked {
    pub(super) fn of<B>(request: &Request<B>) -> Result<Self, Refusal> {
        let (uri, headers) = (request.uri(), request.headers());
        let bad = |why: &str| Refusal::new(StatusCode::BAD_REQUEST, why);
        let path = percent_decode_str(uri.path()).decode_utf8();
        let path = path.map_err(|_| bad("the path of the address does not stand for UTF-8 text"))?.into_owned();
        let query = Query::parse(uri.query().unwrap_or_default());
        let wish = Wish::of(query.get("format"), &all(headers, &ACCEPT));
        // A proxy before us counts more, then the target of a request to a proxy, which we are then.
        let authority = uri.authority().map(|authority| authority.as_str());
        let host = text(headers, &FORWARDED_HOST).or(authority).or(text(headers, &HOST)).unwrap_or_default();
        let host = host.split(',').next().unwrap_or_default().trim().to_owned();
        if host.contains(|character: char| !character.is_ascii_graphic() || "/\\\"<>@?#".contains(character)) {
            return Err(bad("the Host is no name of a host"));
        }
        let secure = text(headers, &FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let only_if_cached = all(headers, &CACHE_CONTROL).split(',').any(|word| word.trim() == "only-if-cached");
        Ok(Self {
            head: request.method() == Method::HEAD,
            host,
            secure,
            path,
            suffix: uri.query().filter(|query| !query.is_empty()).map_or(String::new(), |query| format!("?{query}")),
            query,
            wish,
            only_if_cached,
            headers: headers.clone(),
        })
    }

    /// Whether the visitor has the representation of this tag already.
    pub(super) fn has(&self, tag: &str) -> bool {
        self.headers.contains_key(IF_NONE_MATCH) && none_match_names(&all(&self.headers, &IF_NONE_MATCH), tag)
    }

    /// What of a representation of `size` bytes is wanted.
    pub(super) fn ranges(&self, size: u64, tag: &str) -> Ranges {
        let applies = text(&self.headers, &IF_RANGE).is_none_or(|wanted| range_applies(wanted, tag));
        match text(&self.headers, &RANGE).filter(|_| applies) {
            Some(header) => Ranges::of(header, size),
            None => Ranges::All,
        }
    }

    /// Whether a part of the representation may be enough.
    pub(super) fn is_partial(&self) -> bool {
        self.headers.contains_key(RANGE)
    }

    /// The file name that the visitor proposes.
    pub(super) fn filename(&self) -> Option<&str> {
        self.query.get("filename")
    }

    /// Whether the answer is to be saved, not shown.
    pub(super) fn is_download(&self) -> bool {
        self.query.get("download") == Some("true")
    }

    /// A worker for a whole root would rule over everything that has the root's path as its beginning.
    pub(super) fn refuse_workers(&self, target: &Target) -> Result<(), Refusal> {
        let registers = text(&self.headers, &SERVICE_WORKER) == Some("script");
        if registers && !target.has_own_origin() && target.content.segments.is_empty() && !target.has_slash {
            let why = "navigator.serviceWorker: registration is not allowed for this scope";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, why));
        }
        Ok(())
    }

    /// Why content was not to be had. What is not here, and was not to be fetched, is no fault of anybody.
    pub(super) fn failed(&self, error: FetchError) -> Refusal {
        let is_missing = Refusal::is_not_here(&error);
        let refusal = Refusal::from(error);
        match self.only_if_cached && is_missing {
            true => refusal.under(StatusCode::PRECONDITION_FAILED),
            false => refusal,
        }
    }
}

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// All values of a header that is a list.
fn all(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
}
