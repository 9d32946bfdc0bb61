//! `/metrics`: figures of this node for Prometheus, on the RPC's port and on one of their own.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::PREFIX;
use super::answer::Failure;
use crate::metrics::Figures;
use crate::network::Network;
use crate::node::Node;

/// Where they are, and where they are in Kubo.
pub(super) fn routes() -> Router<Node> {
    Router::new().route("/metrics", get(metrics)).route("/debug/metrics/prometheus", get(metrics))
}

/// The text format of Prometheus, version 0.0.4. Nothing in it grows with what strangers do.
async fn metrics(State(node): State<Node>) -> Result<Response, Failure> {
    let mut figures = Figures::new(env!("CARGO_PKG_VERSION"));
    store(&mut figures, &node).await?;
    if let Some(network) = node.running_network() {
        exchange(&mut figures, &network).await;
    }
    let (queued, most) = node.pool().queued();
    figures
        .gauge("cidra_hashing_queue_bytes", "Bytes of blocks that wait to be hashed or are being hashed", queued as f64)
        .gauge("cidra_hashing_queue_limit_bytes", "Bytes that may wait so; then whoever brings more waits", most as f64)
        .counted(node.metrics());
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], figures.text()).into_response())
}

async fn store(figures: &mut Figures, node: &Node) -> Result<(), Failure> {
    let stat = node.store().stat().await?;
    let queued = node.store().announcements().await?.len();
    figures
        .gauge("cidra_store_blocks", "Blocks in the store", stat.blocks as f64)
        .gauge("cidra_store_pending_blocks", "Blocks that no commit has made durable yet", stat.pending as f64)
        .gauge("cidra_store_data_bytes", "Bytes of the blocks in the store", stat.bytes as f64)
        .gauge("cidra_store_disk_bytes", "Bytes of disk space that the store takes", stat.used_bytes as f64)
        .gauge("cidra_store_segments", "Files that hold the blocks", stat.segments as f64)
        .counter("cidra_store_bad_records", "Records that were found damaged", stat.bad_records)
        .gauge("cidra_provide_queue_roots", "Roots that wait to be announced", queued as f64);
    Ok(())
}

async fn exchange(figures: &mut Figures, network: &Network) {
    let stats = network.stats().await;
    let all = network.bandwidth(None);
    let exchange = stats.exchange;
    figures
        .gauge("cidra_swarm_peers", "Peers that are connected", stats.peers as f64)
        .counter("cidra_swarm_dials", "Connections that were tried from here", stats.dials)
        .counter("cidra_swarm_dials_made", "Connections that were made from here", stats.dials_made)
        .counter("cidra_swarm_accepted", "Connections that were made from there", stats.accepted)
        .counter("cidra_swarm_received_bytes", "Bytes that streams brought", all.received)
        .counter("cidra_swarm_sent_bytes", "Bytes that streams took", all.sent)
        .gauge("cidra_dht_provider_records", "Provider records held, our own among them", stats.provider_records as f64)
        .gauge("cidra_exchange_downloads", "Downloads that are under way", stats.sessions as f64)
        .counter("cidra_exchange_received_bytes", "Bytes of blocks that came, useful or not", exchange.bytes_received)
        .counter("cidra_exchange_wasted_bytes", "Bytes of whole blocks that were of no use", exchange.bytes_wasted)
        .counter("cidra_exchange_received_blocks", "Blocks that were wanted and proved", exchange.blocks_received)
        .counter("cidra_exchange_sent_bytes", "Bytes of blocks that went out", exchange.bytes_sent)
        .counter("cidra_exchange_sent_blocks", "Whole blocks that went out", exchange.blocks_sent)
        .counter("cidra_exchange_searches", "Searches for providers", exchange.searches)
        .latencies(
            "cidra_exchange_answer_duration_seconds",
            "From asking a peer for a block to the beginning of it",
            exchange.answers,
        );
}

/// Measures how long each command takes to begin its answer.
pub(super) async fn timed(State(node): State<Node>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let begin = Instant::now();
    let response = next.run(request).await;
    if let Some(command) = path.as_ref().and_then(|path| path.as_str().strip_prefix(PREFIX)) {
        node.metrics().answered(command, begin.elapsed());
    }
    response
}
