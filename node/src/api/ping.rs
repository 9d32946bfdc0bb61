//! `ping`: how long a peer takes to answer.

use std::time::Duration;

use axum::extract::State;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::answer::{Answer, Failure, Shape, stream};
use super::call::{Piped, address, peer};
use super::swarm::peer_of;
use crate::http::describe;
use crate::node::Node;

/// Once a second, `count` times; the peer is looked up when no address of it is known.
pub(super) async fn ping(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let text = call.argument("peer ID")?;
    let known = if text.starts_with('/') { Some(address(text)?) } else { None };
    let peer = match &known {
        Some(address) => peer_of(address).ok_or_else(|| Failure::usage(format!("{text} does not end with /p2p/…")))?,
        None => peer(text)?,
    };
    if peer == node.peer_id() {
        return Err(Failure::usage("error: can't ping self"));
    }
    let count = call.number::<i64>("count")?.unwrap_or(10);
    if count <= 0 {
        return Err(Failure::usage(format!("ping count must be greater than 0, was {count}")));
    }
    let network = node.network().await?;
    match known {
        Some(address) => drop(network.connect(address).await?),
        None => {
            let reached = network.reach(peer).await;
            reached.map_err(|error| Failure::failed(format!("cannot reach {peer}: {}", describe(&error))))?;
        }
    }
    stream(&call, Shape::Objects, |output| async move {
        output.object(&json!({"Success": true, "Time": 0, "Text": format!("PING {peer}.")})).await;
        let mut every_second = interval(Duration::from_secs(1));
        every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut answered, mut total) = (0, Duration::ZERO);
        for _ in 0..count {
            every_second.tick().await;
            match network.ping(peer).await {
                Ok(time) => {
                    answered += 1;
                    total += time;
                    output.object(&json!({"Success": true, "Time": time.as_nanos() as u64, "Text": ""})).await;
                }
                Err(error) => {
                    let text = format!("Ping error: {}", describe(&error));
                    output.object(&json!({"Success": false, "Time": 0, "Text": text})).await;
                }
            }
        }
        if answered == 0 {
            return Err(Failure::failed(format!("ping failed: {peer} did not answer")));
        }
        let average = total.as_secs_f64() * 1000.0 / f64::from(answered);
        output.object(&json!({"Success": true, "Time": 0, "Text": format!("Average latency: {average:.2}ms")})).await;
        Ok(())
    })
    .await
}
