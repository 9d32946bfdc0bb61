//! One way to speak to a node, wherever it is: in this process, behind the repository's socket, or elsewhere over TCP.
//!
//! All three carry the same requests of the same RPC. Nothing is spawned: a connection is driven by whoever waits for its
//! answer, and ends when the answer is dropped, which is how a call is cancelled.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower::util::{BoxCloneSyncService, ServiceExt as _};
use tower::{Service, ServiceBuilder};

use super::answer::Answer;
use super::call::{Body, BodyError, Call};
use super::endpoint::Endpoint;
use super::failure::{Failure, Outcome};
use crate::repository::socket;

/// Sends calls to a node.
pub(super) struct Client {
    route: Route,
    authorization: Option<HeaderValue>,
}

enum Route {
    /// This process holds the repository.
    InProcess(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>),
    /// Another process holds it. A connection that was greeted is kept for the next call: the holder stays while it is open.
    Socket { path: PathBuf, greeted: Option<Wire> },
    /// A node elsewhere.
    Tcp(Endpoint),
}

impl Client {
    /// Calls `router` without any connection.
    pub(super) fn in_process<S, B>(router: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let router = ServiceBuilder::new()
            .map_response(|response: Response<B>| response.map(|body| body.map_err(Into::into).boxed_unsync()))
            .service(router);
        Self { route: Route::InProcess(BoxCloneSyncService::new(router)), authorization: None }
    }

    /// Calls whoever listens on the socket at `path`. Fails when nobody does.
    pub(super) async fn socket(path: &Path) -> io::Result<Self> {
        let wire = Wire::new(socket::connect(path).await?).await.map_err(io::Error::other)?;
        Ok(Self { route: Route::Socket { path: path.to_owned(), greeted: Some(wire) }, authorization: None })
    }

    /// Calls a node over TCP, showing `authorization` where it was given.
    pub(super) fn tcp(endpoint: Endpoint, authorization: Option<HeaderValue>) -> Self {
        Self { route: Route::Tcp(endpoint), authorization }
    }

    /// Sends a call and waits for the beginning of its answer.
    ///
    /// Fails when nobody can be reached, and with the RPC's own message and exit code when the call is refused.
    pub(super) async fn send(&mut self, call: Call) -> Outcome<Answer> {
        let host = match &self.route {
            Route::InProcess(_) | Route::Socket { .. } => "localhost".to_owned(),
            Route::Tcp(endpoint) => endpoint.to_string(),
        };
        let request = call.into_request(&host, self.authorization.as_ref())?;
        let response = match &mut self.route {
            Route::InProcess(router) => {
                let Ok(response) = router.clone().oneshot(request).await;
                response
            }
            Route::Socket { path, greeted } => {
                let wire = match greeted.take() {
                    Some(wire) => wire,
                    None => {
                        let stream = socket::connect(path).await.map_err(|error| lost(&path.display(), &error))?;
                        Wire::new(stream).await.map_err(|error| lost(&path.display(), &error))?
                    }
                };
                wire.send(request).await.map_err(|error| lost(&path.display(), &error))?
            }
            Route::Tcp(endpoint) => {
                let stream = connect_tcp(endpoint).await.map_err(|error| {
                    let what = format!("cannot reach the RPC API at {endpoint}");
                    let next = "is a daemon running there, and does --api name its address?";
                    Failure::failed(format!("{what}: {error}: {next}"))
                })?;
                let wire = Wire::new(stream).await.map_err(|error| lost(endpoint, &error))?;
                wire.send(request).await.map_err(|error| lost(endpoint, &error))?
            }
        };
        Answer::begin(response).await
    }

    /// Sends a small call on a socket's connection, which stays open for the next call. Whether it was answered well.
    ///
    /// `None`: the holder went away without an answer, which one that is about to end may do.
    pub(super) async fn greet(&mut self, call: Call) -> Outcome<Option<bool>> {
        let Route::Socket { greeted, .. } = &mut self.route else { return Ok(None) };
        let Some(mut wire) = greeted.take() else { return Ok(None) };
        let request = call.into_request("localhost", None)?;
        let Ok(response) = wire.exchange(request).await else { return Ok(None) };
        let is_well = response.status().is_success();
        if wire.collect(response.into_body()).await.is_err() {
            return Ok(None);
        }
        *greeted = Some(wire);
        Ok(Some(is_well))
    }
}

fn lost(whom: &dyn std::fmt::Display, error: &dyn std::error::Error) -> Failure {
    Failure::lost(format!("the node at {whom} went away"), error)
}

async fn connect_tcp(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One HTTP connection and what moves it.
struct Wire {
    sender: SendRequest<Body>,
    motor: Motor,
}

impl Wire {
    async fn new(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, hyper::Error> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, motor: Motor(Some(Box::pin(connection))) })
    }

    async fn exchange(&mut self, request: Request<Body>) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
        let Self { sender, motor } = self;
        poll_fn(|context| {
            motor.turn(context);
            sender.poll_ready(context)
        })
        .await?;
        let mut answer = pin!(sender.send_request(request));
        poll_fn(|context| {
            motor.turn(context);
            answer.as_mut().poll(context)
        })
        .await
    }

    async fn collect(&mut self, body: hyper::body::Incoming) -> Result<Bytes, hyper::Error> {
        let mut whole = pin!(body.collect());
        let collected = poll_fn(|context| {
            self.motor.turn(context);
            whole.as_mut().poll(context)
        });
        Ok(collected.await?.to_bytes())
    }

    async fn send(mut self, request: Request<Body>) -> Result<Response<Body>, hyper::Error> {
        let response = self.exchange(request).await?;
        Ok(response.map(|body| Driven { wire: self, body }.boxed_unsync()))
    }
}

/// The connection as a future that somebody has to poll.
struct Motor(Option<BoxFuture<'static, Result<(), hyper::Error>>>);

impl Motor {
    /// Its end is no news: the request or the body that waits on it says why.
    fn turn(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && connection.as_mut().poll(context).is_ready()
        {
            self.0 = None;
        }
    }
}

/// An answer's body that moves its connection while it is read.
struct Driven {
    wire: Wire,
    body: hyper::body::Incoming,
}

impl hyper::body::Body for Driven {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.wire.motor.turn(context);
        Pin::new(&mut self.body).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
