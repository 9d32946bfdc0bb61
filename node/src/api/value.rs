//! `routing/get` and `routing/put`: records of names as they are.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use cidra_content::ipns::Name;
use data_encoding::BASE64;
use libp2p::PeerId;
use serde_json::{Value, json};

use super::answer::{Answer, Failure, Shape, one, stream};
use super::call::{Call, Piped};
use super::name::{of_name, record_in, resolving};
use super::routing::within;
use crate::names::verify;
use crate::node::Node;

/// The best record of each name.
pub(super) async fn get(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let names = call.arguments("key")?.iter().map(|key| name(key)).collect::<Result<Vec<_>, _>>()?;
    let mut resolving = resolving(&call)?;
    resolving.no_cache = true;
    stream(&call, Shape::Objects, |output| async move {
        for name in names {
            let record = node.find_record(&name, &resolving).await.map_err(of_name)?;
            output.object(&event("", BASE64.encode(record.bytes()))).await;
        }
        Ok(())
    })
    .await
}

/// Keeps a record here and tells it to the peers that are asked for it.
pub(super) async fn put(State(node): State<Node>, headers: HeaderMap, call: Call, body: Body) -> Answer {
    let name = name(call.argument("key")?)?;
    let bytes = record_in(&headers, body).await?;
    let record = verify(&name, &bytes).map_err(|error| Failure::misused(&error))?;
    let told = node.publish_record(&record, call.is("allow-offline")?);
    within(call.duration("timeout")?, told).await??;
    Ok(one(&event(&peer(&name), String::new())))
}

/// `/ipns/NAME`, the only kind of key that there are records of.
fn name(key: &str) -> Result<Name, Failure> {
    Name::parse(key).map_err(|error| {
        let why = crate::http::describe(&error);
        Failure::usage(format!("{key:?} is no key of a record: write /ipns/ and a name ({why})"))
    })
}

fn peer(name: &Name) -> String {
    PeerId::from_bytes(&name.to_bytes()).map_or_else(|_| name.peer_id(), |peer| peer.to_string())
}

/// By Kubo's number.
const VALUE: u8 = 5;

fn event(id: &str, extra: String) -> Value {
    json!({"ID": id, "Type": VALUE, "Responses": null, "Extra": extra})
}
