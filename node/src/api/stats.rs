//! `stats/…`: what this node did since it started. These speak of a running node.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::answer::{Answer, Failure, Shape, one, stream};
use super::call::{Call, peer};
use super::swarm::running;
use crate::network::Bandwidth;
use crate::node::Node;

/// Bytes to and fro, in all, with one peer or in one protocol; with `poll` again and again.
pub(super) async fn bandwidth(State(node): State<Node>, call: Call) -> Answer {
    let protocol = call.text("proto")?.filter(|text| !text.is_empty()).map(str::to_owned);
    let whose = call.text("peer")?.filter(|text| !text.is_empty()).map(peer).transpose()?;
    if protocol.is_some() && whose.is_some() {
        return Err(Failure::usage("please only specify peer OR protocol"));
    }
    let pause = call.duration("interval")?.unwrap_or(SECOND);
    if pause < SHORTEST {
        return Err(Failure::usage(format!("interval: {SHORTEST:?} is the shortest")));
    }
    let network = running(&node)?;
    let read = move || match &protocol {
        Some(protocol) => shown(network.bandwidth_of(protocol)),
        None => shown(network.bandwidth(whose)),
    };
    if !call.is("poll")? {
        return Ok(one(&read()));
    }
    stream(&call, Shape::Objects, move |output| async move {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => output.object(&read()).await,
                () = node.stopped() => return Ok(()),
            }
        }
    })
    .await
}

const SECOND: Duration = Duration::from_secs(1);
/// Rates are measured once a second; more often there is little to see.
const SHORTEST: Duration = Duration::from_millis(100);

fn shown(bandwidth: Bandwidth) -> Value {
    json!({
        "TotalIn": bandwidth.received,
        "TotalOut": bandwidth.sent,
        "RateIn": bandwidth.receiving,
        "RateOut": bandwidth.sending,
    })
}

/// The exchange of blocks.
pub(super) async fn exchange(State(node): State<Node>) -> Answer {
    let stats = running(&node)?.stats().await;
    let exchange = stats.exchange;
    Ok(one(&json!({
        "Peers": stats.peers,
        "BlocksReceived": exchange.blocks_received,
        "DataReceived": exchange.bytes_received,
        "DupDataReceived": exchange.bytes_wasted,
        "BlocksSent": exchange.blocks_sent,
        "DataSent": exchange.bytes_sent,
        "Searches": exchange.searches,
        "Dials": stats.dials,
        "DialsMade": stats.dials_made,
        "Accepted": stats.accepted,
    })))
}

/// What is announced, and what is kept for others. Times are seconds since 1970.
pub(super) async fn provide(State(node): State<Node>) -> Answer {
    let network = running(&node)?;
    let (stats, sweep) = (network.stats().await, network.sweep());
    let queued = node.store().announcements().await?;
    let times: Vec<u64> = node.store().announcement_times().await?.into_iter().map(|(_, time)| seconds(time)).collect();
    Ok(one(&json!({
        "Queued": queued.len(),
        "Announced": times.len(),
        "OldestAnnouncement": times.iter().min(),
        "LatestAnnouncement": times.iter().max(),
        "Records": stats.provider_records,
        "Strategy": node.strategy(),
        "Sweep": {
            "Turns": sweep.turns,
            "Done": sweep.done as f64 / 1000.0,
            "Names": sweep.names,
            "Regions": sweep.regions,
            "Requests": sweep.requests,
            "Records": sweep.records,
            "Last": sweep.last,
        },
    })))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
