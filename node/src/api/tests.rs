mod cidra;
mod dag;
mod doors;
mod kubo;
mod metrics;
mod pin;
mod serve;
mod settings;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{HOST, TE};
use axum::http::{HeaderName, Method, Request};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::config::{Api, Token};
use crate::node::{Role, Settings};
use crate::repository::{Opening, Repository};

/// A router with a repository of its own.
pub(super) struct House {
    pub(super) router: Router,
    pub(super) node: Node,
    _folder: tempfile::TempDir,
}

impl House {
    pub(super) fn new(doors: impl FnOnce(&Node) -> Doors) -> Self {
        Self::with(|_| {}, doors)
    }

    pub(super) fn with(configure: impl FnOnce(&mut Api), doors: impl FnOnce(&Node) -> Doors) -> Self {
        Self::of(Settings::default(), configure, doors)
    }

    pub(super) fn with_bootstrap(peers: &[&str]) -> Self {
        let peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        Self::of(Settings { bootstrap: Some(peers), ..Settings::default() }, |_| {}, |_| Doors::local())
    }

    pub(super) fn daemon(configure: impl FnOnce(&mut Api), doors: impl FnOnce(&Node) -> Doors) -> Self {
        Self::of(Settings { role: Role::Daemon, ..Settings::default() }, configure, doors)
    }

    fn of(settings: Settings, configure: impl FnOnce(&mut Api), doors: impl FnOnce(&Node) -> Doors) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let Opening::Held(repository) = Repository::open(folder.path()).unwrap() else { panic!("it is new") };
        let mut settings = Settings { offline: true, ..settings };
        let api = &mut settings.config.api;
        api.origins = vec!["https://friend.example".to_owned()];
        api.hosts = vec!["box.example".to_owned()];
        api.tokens = vec![Token::try_from("secret".to_owned()).unwrap()];
        configure(api);
        let node = Node::open(repository, settings).unwrap();
        Self { router: routed(node.clone(), doors(&node)), node, _folder: folder }
    }

    /// With a Host that is known.
    pub(super) async fn post(&self, name: &str, headers: &[(HeaderName, &str)]) -> Response {
        let headers: Vec<_> = headers.iter().cloned().chain([(HOST, "localhost:5001")]).collect();
        self.call(Method::POST, name, &headers).await
    }

    pub(super) async fn call(&self, method: Method, name: &str, headers: &[(HeaderName, &str)]) -> Response {
        self.ask(method, &format!("{PREFIX}{name}"), headers).await
    }

    pub(super) async fn ask(&self, method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let Ok(response) = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await;
        response
    }
}

/// The doors of a port of this node.
pub(super) fn port(node: &Node) -> Doors {
    Doors::port(5001, &node.config().api, node.tokens())
}

/// An answer that was read to its end.
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl House {
    /// Calls with a body, as a caller that reads trailers, and reads the answer.
    pub(super) async fn tell(&self, call: &str, content_type: &str, body: impl Into<Body>) -> Told {
        let request =
            Request::post(format!("{PREFIX}{call}")).header(TE, "trailers").header(CONTENT_TYPE, content_type);
        let Ok(response) = self.router.clone().oneshot(request.body(body.into()).unwrap()).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        Told { status: head.status, headers: head.headers, body: body.to_bytes(), trailers }
    }

    /// Calls and gives the bytes of an answer that must be good.
    pub(super) async fn bytes(&self, call: &str) -> Bytes {
        let told = self.tell(call, "text/plain", "").await;
        assert_eq!((told.status, told.trailers.len()), (StatusCode::OK, 0), "{call}: {}", told.text());
        told.body
    }

    /// Calls and gives the objects of an answer that must be good.
    pub(super) async fn objects(&self, call: &str) -> Vec<Value> {
        objects(&self.bytes(call).await)
    }

    /// Calls and gives the only object of an answer that must be good.
    pub(super) async fn object(&self, call: &str) -> Value {
        let mut objects = self.objects(call).await;
        assert_eq!(objects.len(), 1, "{objects:?}");
        objects.remove(0)
    }

    /// Calls and gives status, exit code and message of an answer that must be an error.
    pub(super) async fn error(&self, call: &str) -> (u16, String, String) {
        self.tell(call, "text/plain", "").await.error()
    }
}

impl Told {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn error(&self) -> (u16, String, String) {
        assert!(!self.status.is_success(), "{}", self.text());
        let error: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(error["Type"], "error");
        let exit = self.headers[EXIT].to_str().unwrap().to_owned();
        (self.status.as_u16(), exit, error["Message"].as_str().unwrap().to_owned())
    }
}

pub(super) fn objects(lines: &[u8]) -> Vec<Value> {
    serde_json::Deserializer::from_slice(lines).into_iter().map(Result::unwrap).collect()
}
