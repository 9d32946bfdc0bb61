//! `/routing/v1`: where content and peers are, and the records of names, for those who take no part in the DHT themselves
//! (delegated routing specification).

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use cidra_content::gateway::routing::PeerFilter;
use cidra_content::gateway::{Format, Host};
use cidra_content::ipns::Name;
use cidra_content::path::parse_cid;
use futures::{Stream, StreamExt, stream};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::answer::{not_modified, response, value};
use super::asked::Asked;
use super::named::tag_of;
use super::refusal::Refusal;
use super::{Answer, Gateway};
use crate::names::now;
use crate::network::Provider;

impl Gateway {
    /// What is asked of the router, where this gateway is one.
    pub(super) fn asked_to_route<'a>(&self, asked: &'a Asked) -> Option<&'a str> {
        let own = !matches!(Host::of(&asked.host, &self.config.hosts), Host::Root { .. });
        asked.path.strip_prefix(PREFIX).filter(|_| self.config.expose_routing && own)
    }

    pub(super) async fn routed(&self, asked: &Asked, rest: &str) -> Answer {
        match rest.split_once('/') {
            Some(("providers", cid)) => {
                let cid = parse_cid(cid).map_err(|error| unprocessable(&error.to_string()))?;
                let network = self.node.network().await.map_err(|_| unavailable())?;
                let peers = network.find_providers(cid, MAX_STREAMED);
                self.peers(asked, "Providers", peers).await
            }
            Some(("peers", peer)) => {
                let name = Name::parse(peer).map_err(|error| unprocessable(&error.to_string()))?;
                let peer = PeerId::from_bytes(&name.to_bytes()).map_err(|error| unprocessable(&error.to_string()))?;
                let network = self.node.network().await.map_err(|_| unavailable())?;
                let found = stream::once(async move { network.find_peer(peer).await.unwrap_or_default() });
                let peers = found.filter_map(move |addresses: Vec<Multiaddr>| {
                    std::future::ready((!addresses.is_empty()).then_some(Provider { peer, addresses }))
                });
                self.peers(asked, "Peers", peers).await
            }
            Some(("ipns", name)) => self.routed_record(asked, name).await,
            _ => Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "known are providers/CID, peers/PEER and ipns/NAME")),
        }
    }

    /// As one list, or as they are found.
    async fn peers(&self, asked: &Asked, list: &str, found: impl Stream<Item = Provider> + Send + 'static) -> Answer {
        let filter = PeerFilter::of(asked.query.get("filter-addrs"), asked.query.get("filter-protocols"));
        let limit = Duration::from_secs(self.config.timeout.into());
        let mut objects = Box::pin(
            found
                .filter_map(move |provider| std::future::ready(object(provider, &filter)))
                .take_until(Box::pin(sleep(limit))),
        );
        let is_stream = accepts(asked, NDJSON);
        let mut headers = HeaderMap::from_iter([(VARY, value("Accept"))]);
        headers.insert(CONTENT_TYPE, value(if is_stream { NDJSON } else { "application/json" }));
        if asked.head {
            return Ok(response(StatusCode::OK, headers, Body::empty()));
        }
        if is_stream {
            // What is found first says whether there is anything.
            let first = objects.next().await;
            headers.insert(CACHE_CONTROL, value(&kept(first.is_some())));
            let lines =
                stream::iter(first).chain(objects).map(|object| Ok::<_, Never>(Bytes::from(format!("{object}\n"))));
            return Ok(response(StatusCode::OK, headers, Body::from_stream(lines)));
        }
        let found: Vec<Value> = objects.take(MAX_LISTED).collect().await;
        headers.insert(CACHE_CONTROL, value(&kept(!found.is_empty())));
        Ok(response(StatusCode::OK, headers, Body::from(format!("{}\n", json!({list: found})))))
    }

    async fn routed_record(&self, asked: &Asked, name: &str) -> Answer {
        let media_type = Format::IpnsRecord.media_type();
        if !accepts(asked, media_type) {
            let why = format!("records of names come as {media_type}: ask with Accept: {media_type}");
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, why));
        }
        let name = Name::parse(name).map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        let mut headers = HeaderMap::from_iter([(VARY, value("Accept"))]);
        let Ok(record) = self.node.find_record(&name, &self.resolving(asked)).await else {
            // Another type says that there is none.
            headers.insert(CONTENT_TYPE, value("text/plain; charset=utf-8"));
            headers.insert(CACHE_CONTROL, value(&kept(false)));
            return Ok(response(StatusCode::OK, headers, Body::from("no record of this name is known\n")));
        };
        let left = now().until(record.validity());
        let age = Some(record.ttl()).filter(|ttl| !ttl.is_zero()).unwrap_or(UNTOLD).min(left);
        let tag = tag_of(&record);
        let cache = format!(
            "public, max-age={}, stale-while-revalidate={left}, stale-if-error={left}",
            age.as_secs(),
            left = left.as_secs()
        );
        headers.insert(ETAG, value(&tag));
        headers.insert(CACHE_CONTROL, value(&cache));
        if asked.has(&tag) {
            return Ok(not_modified(headers));
        }
        headers.insert(CONTENT_TYPE, value(media_type));
        Ok(response(StatusCode::OK, headers, Body::from(record.bytes().clone())))
    }
}

const PREFIX: &str = "/routing/v1/";
const NDJSON: &str = "application/x-ndjson";
/// Peers in one list, as the specification has it.
const MAX_LISTED: usize = 100;
/// Peers in one stream.
const MAX_STREAMED: usize = 1000;
/// For how long a record is believed that does not say it.
const UNTOLD: Duration = Duration::from_secs(60);

/// Nothing goes wrong once it flows.
type Never = std::convert::Infallible;

/// What was found holds for minutes; that nothing was, for seconds. For two days either is better than no answer.
fn kept(found: bool) -> String {
    let age = if found { 300 } else { 15 };
    format!("public, max-age={age}, stale-while-revalidate=172800, stale-if-error=172800")
}

fn object(Provider { peer, addresses }: Provider, filter: &PeerFilter) -> Option<Value> {
    let own = Protocol::P2p(peer);
    let bare = |address: &Multiaddr| address.iter().filter(|part| *part != own).collect::<Multiaddr>().to_string();
    let addresses = filter.apply(addresses.iter().map(bare).filter(|address| !address.is_empty()).collect(), &[])?;
    Some(json!({"Schema": "peer", "ID": peer.to_string(), "Addrs": addresses, "Protocols": []}))
}

fn accepts(asked: &Asked, media_type: &str) -> bool {
    let accepted = asked.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type))
}

fn unprocessable(why: &str) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why)
}

fn unavailable() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this node speaks to no peers")
}
