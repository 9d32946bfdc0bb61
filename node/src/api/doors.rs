//! Who may come in. Browsers are the danger: a page from anywhere can make them send requests to this machine.
//!
//! On a TCP port the Host must be a name of this machine or one that was configured (a rebound DNS name is neither), and where
//! tokens are asked for a caller shows one. On all doors RPC calls are POST, and as in Kubo one that comes from a page (Origin,
//! Referer, or a browser's User-Agent without either) is refused unless the page's origin is allowed. The Unix socket needs
//! no more: its folder lets its owner in.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, REFERER, USER_AGENT, VARY,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;

use crate::config::{self, Token};
use crate::node::Tokens;

/// What a server asks of those who come in.
#[derive(Clone, Debug, Default)]
pub(super) struct Doors {
    port: Option<Port>,
    origins: Vec<String>,
}

/// A TCP port, which anyone on this machine, and any page in its browsers, can reach.
#[derive(Clone, Debug)]
struct Port {
    number: u16,
    hosts: Vec<String>,
    /// `None`: no token is asked for.
    tokens: Option<Tokens>,
}

/// Which way a call came in, for those that may come in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Over the Unix socket or from this process: from this user.
    Local,
    /// Over a TCP port.
    Port,
}

impl Doors {
    /// Of the Unix socket and of calls in this process.
    pub(super) fn local() -> Self {
        Self::default()
    }

    /// Whether whoever comes through is the owner of the repository, without having to show anything.
    pub(super) fn are_private(&self) -> bool {
        self.port.is_none()
    }

    /// Of a TCP port. `tokens` are those that count while somebody knocks.
    pub(super) fn port(number: u16, api: &config::Api, tokens: Tokens) -> Self {
        let tokens = (api.auth == config::Auth::Required).then_some(tokens);
        Self { port: Some(Port { number, hosts: api.hosts.clone(), tokens }), origins: api.origins.clone() }
    }

    pub(super) fn way(&self) -> Way {
        if self.port.is_some() { Way::Port } else { Way::Local }
    }

    fn refuse(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        if let Some(port) = &self.port {
            if !port.knows_host(request) {
                return Some(refusal(
                    StatusCode::FORBIDDEN,
                    "403 - Forbidden: this Host is none of api.hosts; add it: cidra config add api.hosts HOST",
                ));
            }
            // A preflight carries no token; it only learns what is allowed.
            if request.method() != Method::OPTIONS && !port.knows_token(headers) {
                return Some(unauthorized());
            }
        }
        if !is_rpc(request) {
            return None;
        }
        match *request.method() {
            Method::OPTIONS => return Some(self.options(headers)),
            Method::POST => {}
            _ => return Some(allow(refusal(StatusCode::METHOD_NOT_ALLOWED, "405 - Method Not Allowed"))),
        }
        if !self.allows_page(headers) {
            return Some(refusal(StatusCode::FORBIDDEN, "403 - Forbidden"));
        }
        None
    }

    fn options(&self, headers: &HeaderMap) -> Response {
        if !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return allow(StatusCode::NO_CONTENT.into_response());
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        let out = response.headers_mut();
        out.insert(
            VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        if let Some(origin) = headers.get(ORIGIN).filter(|origin| self.allows(origin)) {
            out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            let allowed = "Authorization, Accept, Content-Type, Origin, X-Requested-With";
            out.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        }
        response
    }

    /// As Kubo judges: no page sent it, or a page of an allowed origin did.
    fn allows_page(&self, headers: &HeaderMap) -> bool {
        let (origin, referer) = (headers.get(ORIGIN), headers.get(REFERER));
        if origin.is_none() && referer.is_none() {
            let agent = headers.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
            let electron = agent.windows(8).any(|word| word == b"Electron");
            return electron || !agent.starts_with(b"Mozilla");
        }
        origin.is_none_or(|origin| self.allows(origin)) && referer.is_none_or(|referer| self.allows_referer(referer))
    }

    fn allows_referer(&self, referer: &HeaderValue) -> bool {
        let Ok(text) = referer.to_str() else { return false };
        let Some((scheme, rest)) = text.split_once("://") else { return false };
        let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        HeaderValue::try_from(format!("{scheme}://{host}")).is_ok_and(|origin| self.allows(&origin))
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        if self.origins.iter().any(|allowed| allowed == "*" || allowed == origin) || EXTENSIONS.contains(&origin) {
            return true;
        }
        let Some(port) = &self.port else { return false };
        let own = ["127.0.0.1", "[::1]", "localhost"];
        let Some(rest) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
            return false;
        };
        own.iter().any(|name| rest.strip_prefix(name).is_some_and(|rest| rest == format!(":{}", port.number)))
    }
}

/// The IPFS Companion browser extension and its beta, which Kubo lets in.
const EXTENSIONS: [&str; 2] =
    ["chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch", "chrome-extension://hjoieblefckbooibpepigmacodalfndh"];

impl Port {
    fn knows_host(&self, request: &Request) -> bool {
        let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        // In the absolute form of a request the target's host is what counts.
        let Some(host) = request.uri().authority().map(|authority| authority.as_str()).or(header) else { return false };
        if self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return true;
        }
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let Some(tokens) = &self.tokens else { return true };
        let Some(shown) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
        let Some((scheme, shown)) = shown.split_once(' ') else { return false };
        if scheme.eq_ignore_ascii_case("bearer") {
            return any_is(&tokens.now(), &[shown.trim().as_bytes()]);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(pair) = BASE64.decode(shown.trim().as_bytes()) else { return false };
        let password = pair.iter().position(|byte| *byte == b':').map_or(&pair[..], |colon| &pair[colon + 1..]);
        any_is(&tokens.now(), &[&pair, password])
    }
}

/// Whether a token is among what was shown. All are compared, so that the time it takes does not tell which one, nor how much
/// of it, was right.
fn any_is(tokens: &[Token], shown: &[&[u8]]) -> bool {
    let each = tokens.iter().flat_map(|token| shown.iter().map(|shown| same(token.reveal().as_bytes(), shown)));
    each.fold(false, |any, same| any | same)
}

/// Compares without telling by the time it takes where the first difference is.
fn same(token: &[u8], shown: &[u8]) -> bool {
    let different = token.iter().zip(shown).fold(0, |different, (a, b)| different | (a ^ b));
    !token.is_empty() && token.len() == shown.len() && std::hint::black_box(different) == 0
}

/// The door of a whole router.
pub(super) async fn door(State(doors): State<Arc<Doors>>, mut request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).filter(|origin| doors.allows(origin)).cloned();
    let mut response = match doors.refuse(&request) {
        Some(refused) => {
            tracing::debug!(method = %request.method(), path = request.uri().path(), status = %refused.status(), "call refused at the door");
            refused
        }
        None => {
            if doors.are_private() {
                request.extensions_mut().insert(Private);
            }
            next.run(request).await
        }
    };
    let headers = response.headers_mut();
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if !headers.contains_key(VARY) {
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(
        HeaderName::from_static("server"),
        HeaderValue::from_static(concat!("cidra/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

/// A request that came through the repository's socket, or from this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Private;

fn is_rpc(request: &Request) -> bool {
    request.uri().path().starts_with("/api/")
}

fn allow(mut response: Response) -> Response {
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("OPTIONS, POST"));
    response
}

fn unauthorized() -> Response {
    let mut response =
        refusal(StatusCode::UNAUTHORIZED, "401 - Unauthorized: show one of api.tokens (Authorization: Bearer)");
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn refusal(status: StatusCode, text: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
