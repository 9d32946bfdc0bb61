//! The headers of answers with content.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LOCATION, CONTENT_TYPE, ETAG, LOCATION,
    SERVER,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::asked::Asked;
use super::route::Target;
use crate::node::Resolved;

/// For how long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// As long as the content behind its path is the same: for ever under a CID.
    Content,
    /// A page that this gateway makes of content, and that another version makes differently.
    Page,
}

/// The headers that all answers with content have.
pub(super) fn headers(asked: &Asked, target: &Target, found: &Resolved, tag: &str, keep: Keep) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ETAG, value(tag));
    let roots: Vec<String> =
        found.roots.iter().skip(target.content.segments.len() - target.asked_names).map(ToString::to_string).collect();
    headers.insert(IPFS_PATH, value(&target.shown));
    headers.insert(IPFS_ROOTS, value(&roots.join(",")));
    let cache = match (&target.name, keep) {
        (None, Keep::Content) => Some("public, max-age=29030400, immutable".to_owned()),
        (None, Keep::Page) => Some("public, max-age=604800, stale-while-revalidate=2678400".to_owned()),
        (Some(name), _) => name.ttl.map(|ttl| format!("public, max-age={}", ttl.as_secs())),
    };
    if let Some(cache) = cache {
        headers.insert(CACHE_CONTROL, value(&cache));
    }
    if let Some(location) = location(asked) {
        headers.insert(CONTENT_LOCATION, value(&location));
    }
    headers
}

const IPFS_PATH: HeaderName = HeaderName::from_static("x-ipfs-path");
const IPFS_ROOTS: HeaderName = HeaderName::from_static("x-ipfs-roots");

/// The address that alone says what form was wanted, where this one does not.
fn location(asked: &Asked) -> Option<String> {
    let name = asked.wish.format?.name();
    if asked.query.get("format") == Some(name) {
        return None;
    }
    let mut query = asked.query.clone();
    query.set("format", name);
    for (parameter, value) in asked.wish.parameters.iter().filter(|(parameter, _)| parameter != "q") {
        let parameter = format!("{name}-{parameter}");
        if query.get(&parameter).is_none() {
            query.set(&parameter, value);
        }
    }
    Some(in_address(&asked.path) + &query.to_suffix())
}

/// `Content-Disposition`: in the form that old and new browsers read.
pub(super) fn disposition(headers: &mut HeaderMap, kind: &str, filename: &str) {
    let plain: String = filename.chars().map(|character| if character.is_ascii() { character } else { '_' }).collect();
    let plain = utf8_percent_encode(&plain, FILENAME);
    let encoded = utf8_percent_encode(filename, FILENAME);
    let text = format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    headers.insert(CONTENT_DISPOSITION, value(&text));
}

const FILENAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How the answer is to be saved, where the visitor says it.
pub(super) fn wished_disposition(asked: &Asked, headers: &mut HeaderMap) {
    match (asked.filename(), asked.is_download()) {
        (Some(filename), true) => disposition(headers, "attachment", filename),
        (Some(filename), false) => disposition(headers, "inline", filename),
        (None, true) => {
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        }
        (None, false) => {}
    }
}

/// The bytes are what they are said to be: nobody guesses.
pub(super) fn no_sniffing(headers: &mut HeaderMap, media_type: &str) {
    headers.insert(CONTENT_TYPE, value(media_type));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
}

/// What the visitor has already.
pub(super) fn not_modified(mut headers: HeaderMap) -> Response {
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_DISPOSITION);
    response(StatusCode::NOT_MODIFIED, headers, Body::empty())
}

pub(super) fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

pub(super) fn redirect(status: StatusCode, location: &str) -> Response {
    response(status, HeaderMap::from_iter([(LOCATION, value(location))]), Body::empty())
}

/// Pages of all origins may read what is public.
pub(super) fn open_to_pages(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    let allowed = "Content-Type, Range, User-Agent, X-Requested-With";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    let exposed = "Content-Length, Content-Range, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output";
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    headers.insert(SERVER, HeaderValue::from_static(concat!("cidra/", env!("CARGO_PKG_VERSION"))));
}

/// A path as it stands in an address.
pub(super) fn in_address(path: &str) -> String {
    utf8_percent_encode(path, ADDRESS).to_string()
}

/// Names of files may hold anything; what has a meaning in an address, or none, is encoded.
const ADDRESS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The same for one name, in which a slash is no more than a character.
pub(super) const ADDRESS_OF_NAME: &AsciiSet = &ADDRESS.add(b'/');

/// The same for a value behind the question mark.
pub(super) const ADDRESS_IN_QUERY: &AsciiSet = &ADDRESS_OF_NAME.add(b'&').add(b'+').add(b'=');

/// A header's value; what cannot stand in one is percent-encoded.
pub(super) fn value(text: &str) -> HeaderValue {
    let text = utf8_percent_encode(text, CONTROLS).to_string();
    HeaderValue::try_from(text).expect("it is printable ASCII")
}
