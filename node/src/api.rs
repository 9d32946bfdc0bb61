//! The RPC: the one way into a node, for the command line too. `/api/v0/…` is Kubo's, `/api/v0/cidra/…` is ours alone.
//!
//! One router serves the repository's socket, a TCP port and, called in process, a command that holds the repository itself.
//! Each route is a thin function over `Node`; what they share is how a call is read (`call`), how it is answered (`answer`) and
//! who may call (`doors`). Nothing is gathered that a caller can make long: uploads and answers are streams.

mod add;
mod answer;
mod block;
mod bootstrap;
mod call;
mod cat;
mod cidra;
mod config;
mod dag;
pub mod date;
mod diagnosis;
mod doors;
mod files;
mod framing;
mod get;
mod handover;
mod id;
mod key;
mod ls;
mod metrics;
mod multipart;
mod name;
pub mod outlet;
mod pin;
mod ping;
mod refs;
mod repo;
mod routing;
mod send;
mod serve;
mod settings;
mod stats;
mod store;
mod swarm;
mod trailing;
pub mod tree;
mod upload;
mod value;
mod walk;
mod wishes;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, post};
use serde_json::{Value, json};

pub use crate::http::Server;
use crate::node::Node;
use answer::{Answer, one};
pub use answer::{EXIT, STREAM_ERROR};
use doors::Doors;
pub use id::RPC_VERSION;
pub use serve::{ServeError, serve_metrics, serve_socket, serve_tcp};

/// The API of `node`, for calls in this process.
pub fn router(node: Node) -> Router {
    routed(node, Doors::local())
}

fn routed(node: Node, doors: Doors) -> Router {
    let mut router = Router::new();
    let local = if doors.are_private() { local_routes() } else { vec![] };
    for (name, handler) in routes().into_iter().chain(local) {
        router = router.route(&format!("{PREFIX}{name}"), handler);
    }
    let router = router.route_layer(from_fn_with_state(node.clone(), metrics::timed)).merge(metrics::routes());
    let router = router.layer(Extension(doors.way()));
    router.fallback(unknown).layer(from_fn_with_state(Arc::new(doors), doors::door)).with_state(node)
}

const PREFIX: &str = "/api/v0/";

/// All routes, by what follows [`PREFIX`].
fn routes() -> Vec<(&'static str, MethodRouter<Node>)> {
    vec![
        ("add", post(add::add)),
        ("block/get", post(block::get)),
        ("block/put", post(block::put)),
        ("block/rm", post(block::rm)),
        ("block/stat", post(block::stat)),
        ("bootstrap", post(bootstrap::list)),
        ("bootstrap/add", post(bootstrap::add)),
        ("bootstrap/add/default", post(bootstrap::add_default)),
        ("bootstrap/list", post(bootstrap::list)),
        ("bootstrap/rm", post(bootstrap::rm)),
        ("bootstrap/rm/all", post(bootstrap::rm_all)),
        ("cat", post(cat::cat)),
        ("cidra/add", post(cidra::add)),
        ("cidra/config/add", post(settings::add)),
        ("cidra/config/get", post(settings::get)),
        ("cidra/config/rm", post(settings::rm)),
        ("cidra/config/set", post(settings::set)),
        ("cidra/config/show", post(settings::show)),
        ("cidra/config/unset", post(settings::unset)),
        ("cidra/get", post(cidra::get)),
        ("cidra/handover", post(handover::hand_over)),
        ("cidra/health", post(cidra::health)),
        ("cidra/stat", post(cidra::stat)),
        ("cidra/stats/exchange", post(stats::exchange)),
        ("cidra/stats/provide", post(stats::provide)),
        ("cidra/store/ask", post(store::ask)),
        ("cidra/store/join", post(store::join)),
        ("commands", post(commands)),
        ("config", post(config::config)),
        ("config/show", post(config::show)),
        ("dag/export", post(dag::export)),
        ("dag/get", post(dag::get)),
        ("dag/import", post(dag::import)),
        ("dag/put", post(dag::put)),
        ("dag/resolve", post(dag::resolve)),
        ("dag/stat", post(dag::stat)),
        ("dht/findpeer", post(routing::find_peer)),
        ("dht/findprovs", post(routing::find_providers)),
        ("dht/get", post(value::get)),
        ("dht/provide", post(routing::provide)),
        ("dht/put", post(value::put)),
        ("diag/sys", post(diagnosis::system)),
        ("files/chcid", post(files::chcid)),
        ("files/chmod", post(files::chmod)),
        ("files/cp", post(files::cp)),
        ("files/flush", post(files::flush)),
        ("files/ls", post(files::ls)),
        ("files/mkdir", post(files::mkdir)),
        ("files/mv", post(files::mv)),
        ("files/read", post(files::read)),
        ("files/rm", post(files::rm)),
        ("files/stat", post(files::stat)),
        ("files/touch", post(files::touch)),
        ("files/write", post(files::write)),
        ("get", post(get::get)),
        ("id", post(id::id)),
        ("key/gen", post(key::generate)),
        ("key/import", post(key::import)),
        ("key/list", post(key::list)),
        ("key/ls", post(key::list)),
        ("key/rename", post(key::rename)),
        ("key/rm", post(key::remove)),
        ("log/level", post(diagnosis::level)),
        ("log/ls", post(diagnosis::subsystems)),
        ("ls", post(ls::ls)),
        ("name/inspect", post(name::inspect)),
        ("name/publish", post(name::publish)),
        ("name/resolve", post(name::resolve)),
        ("pin/add", post(pin::add)),
        ("pin/ls", post(pin::ls)),
        ("pin/rm", post(pin::rm)),
        ("pin/update", post(pin::update)),
        ("pin/verify", post(pin::verify)),
        ("ping", post(ping::ping)),
        ("refs", post(refs::list)),
        ("refs/local", post(refs::local)),
        ("repo/gc", post(repo::gc)),
        ("repo/ls", post(refs::local)),
        ("repo/stat", post(repo::stat)),
        ("repo/verify", post(repo::verify)),
        ("repo/version", post(repo::version)),
        ("resolve", post(dag::resolve_path)),
        ("routing/findpeer", post(routing::find_peer)),
        ("routing/findprovs", post(routing::find_providers)),
        ("routing/get", post(value::get)),
        ("routing/provide", post(routing::provide)),
        ("routing/put", post(value::put)),
        ("shutdown", post(id::shutdown)),
        ("stats/bw", post(stats::bandwidth)),
        ("stats/repo", post(repo::stat)),
        ("swarm/addrs", post(swarm::addrs)),
        ("swarm/addrs/listen", post(swarm::listen)),
        ("swarm/addrs/local", post(swarm::local)),
        ("swarm/connect", post(swarm::connect)),
        ("swarm/disconnect", post(swarm::disconnect)),
        ("swarm/peers", post(swarm::peers)),
        ("version", post(id::version)),
    ]
}

/// Those of callers on this machine alone: they name its files, or are told its secrets.
fn local_routes() -> Vec<(&'static str, MethodRouter<Node>)> {
    vec![("cidra/key/export", post(key::export)), ("cidra/send", post(send::send))]
}

async fn unknown() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/plain; charset=utf-8")], "404 page not found\n")
}

/// Which commands there are, as a tree.
async fn commands() -> Answer {
    let mut top: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, _) in routes() {
        let (first, rest) = name.split_once('/').unwrap_or((name, ""));
        top.entry(first).or_default().extend(Some(rest).filter(|rest| !rest.is_empty()));
    }
    let command = |name: &str, below: Vec<Value>| json!({"Name": name, "Subcommands": below, "Options": []});
    let below = top
        .into_iter()
        .map(|(name, below)| command(name, below.into_iter().map(|name| command(name, vec![])).collect()));
    Ok(one(&command("cidra", below.collect())))
}

#[cfg(test)]
mod tests;
