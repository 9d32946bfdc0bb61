//! The HTTP gateway: content for browsers and programs, by the specifications of IPFS gateways (path, subdomain, trustless,
//! DNSLink, `_redirects`). It only reads.
//!
//! One file per kind of answer. What a request asks for and where that stands is read in `asked` and `route`, the rules of both
//! stand in `content::gateway`. Every answer is a stream that works while the visitor reads, and one that cannot be completed
//! cuts the connection: nothing partial ever looks whole.

mod answer;
mod asked;
mod block;
mod body;
mod car;
mod file;
mod folder;
mod named;
mod node_page;
mod page;
mod redirect;
mod refusal;
mod route;
mod routing;
mod serve;
mod tar;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use cidra_content::block::{DAG_PB, RAW};
use cidra_content::gateway::Format;
use cidra_content::ipld::{CBOR, DAG_CBOR, DAG_JSON, JSON};
use tokio::sync::Semaphore;

use crate::config;
use crate::download::{FetchError, FetchOptions};
use crate::http::Keeping;
use crate::node::{Node, Resolved};
use asked::Asked;
use refusal::Refusal;
use route::{Route, Target};
pub use serve::{ServeError, serve};

/// What answers requests.
struct Gateway {
    node: Node,
    config: config::Gateway,
    /// Places for requests.
    room: Arc<Semaphore>,
}

/// Requests that are answered at a time; one more is told to come again. Each holds up to 4 MiB that were read ahead of its visitor.
const MAX_REQUESTS: usize = 1024;

/// The result of answering.
type Answer = Result<Response, Refusal>;

impl Gateway {
    fn new(node: Node) -> Self {
        let config = node.config().gateway.clone();
        Self { node, config, room: Arc::new(Semaphore::new(MAX_REQUESTS)) }
    }

    /// Answers a request, whatever it is.
    async fn answer<B>(&self, request: &Request<B>) -> Response {
        let mut response = match *request.method() {
            Method::GET | Method::HEAD => self.look(request).await,
            Method::OPTIONS => allow(StatusCode::NO_CONTENT.into_response()),
            _ => allow(
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this gateway only reads").respond(request.headers()),
            ),
        };
        answer::open_to_pages(response.headers_mut());
        response
    }

    async fn look<B>(&self, request: &Request<B>) -> Response {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests at a time");
            return refusal.retry_after(RETRY_AFTER).respond(request.headers());
        };
        let answered = match Asked::of(request) {
            Ok(asked) => self.respond(&asked).await.map_err(|refusal| refusal.respond(&asked.headers)),
            Err(refusal) => Err(refusal.respond(request.headers())),
        };
        let response = answered.unwrap_or_else(|refused| refused);
        if response.status().is_server_error() {
            tracing::debug!(path = request.uri().path(), status = %response.status(), "a request to the gateway failed");
        }
        // Its place is taken as long as it is read.
        response.map(|body| Body::new(Keeping::new(body, place)))
    }

    async fn respond(&self, asked: &Asked) -> Answer {
        if let Some(rest) = self.asked_to_route(asked) {
            return self.routed(asked, rest).await;
        }
        match self.route(asked).await? {
            Route::Moved(location) => Ok(answer::redirect(StatusCode::MOVED_PERMANENTLY, &location)),
            Route::Record(record) => Ok(named::show(asked, &record)),
            Route::Redirect(location) => Ok(answer::redirect(StatusCode::FOUND, &location)),
            Route::Welcome => Ok(page::welcome()),
            Route::Content(target) => self.show(asked, &target).await,
        }
    }

    /// What stands at the end of a path.
    async fn show(&self, asked: &Asked, target: &Target) -> Answer {
        asked.refuse_workers(target)?;
        if self.config.trustless && !asked.wish.format.is_some_and(Format::is_trustless) {
            let why = "this gateway gives only what can be proved: ask for ?format=raw or ?format=car";
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, why));
        }
        let options = self.options(asked);
        let found = match self.node.follow(&target.content, &options).await {
            Ok(found) => found,
            Err(error) => {
                let is_absent = matches!(error, FetchError::NoSuchName { .. } | FetchError::NoSuchKey { .. });
                if is_absent
                    && target.has_own_origin()
                    && asked.wish.format.is_none()
                    && let Some(answer) = self.redirected(asked, target, &options).await?
                {
                    return Ok(answer);
                }
                return Err(asked.failed(error));
            }
        };
        self.present(asked, target, &found, &options).await
    }

    async fn present(&self, asked: &Asked, target: &Target, found: &Resolved, options: &FetchOptions) -> Answer {
        if asked.wish.format == Some(Format::Car) {
            return self.car(asked, target, found, options).await;
        }
        if !found.rest.is_empty() {
            let rest = found.rest.join("/");
            let why = format!(
                "/{rest} is a value within block {}: reading IPLD kinds other than links is not implemented, ask for the block",
                found.cid
            );
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, why));
        }
        match (asked.wish.format, found.cid.codec()) {
            (Some(Format::Raw), _) => self.block(asked, target, found, options).await,
            (Some(Format::Tar), DAG_PB | RAW) => self.tar(asked, target, found, options).await,
            (Some(Format::IpnsRecord), _) => {
                let why = "an IPNS record is asked for, and this is not the name of a key";
                Err(Refusal::new(StatusCode::BAD_REQUEST, why))
            }
            (None | Some(Format::Json), DAG_PB | RAW) => self.unixfs(asked, target, found, options).await,
            (Some(Format::Cbor), DAG_PB | RAW) if asked.wish.anything => {
                self.unixfs(asked, target, found, options).await
            }
            (format, codec @ (JSON | CBOR | DAG_JSON | DAG_CBOR)) => {
                self.native(asked, target, found, options, format, codec).await
            }
            (Some(format), codec) => Err(Refusal::other_codec(format, codec)),
            (None, codec) => Err(Refusal::unknown_codec(codec)),
        }
    }

    /// How the content of an answer may be had.
    fn options(&self, asked: &Asked) -> FetchOptions {
        FetchOptions {
            offline: !self.config.fetch || asked.only_if_cached,
            idle_timeout: Some(Duration::from_secs(self.config.timeout.into())),
            ..FetchOptions::default()
        }
    }
}

/// Seconds.
const RETRY_AFTER: u32 = 5;

fn allow(mut response: Response) -> Response {
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}
