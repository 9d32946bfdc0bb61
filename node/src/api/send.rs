//! `cidra/send`: something is imported and served to whoever comes for it, for as long as the caller stays.
//!
//! Nothing is left behind: the lease that protects it goes with the call, however that ends, and it is announced to nobody but
//! those on the local network, who hear of this node anyway.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use cid::Cid;
use cidra_content::Multihash;
use serde_json::{Value, json};

use super::answer::{Answer, Failure, Output, stream};
use super::call::Call;
use super::cidra::{TREE, import, send_end, send_note};
use super::doors::Way;
use super::upload::Chunks;
use super::walk::Walk;
use super::wishes::Wishes;
use crate::config::Rate;
use crate::network::{Network, Receiver};
use crate::node::Node;

/// A tree of frames in; notes out: those of an `add`, then `{"Hash", "Size", "Peer", "Listening"}`, then `{"Receivers"}` whenever
/// something changed. It ends only when the node does.
///
/// With `limit-up` what is asked for under its root goes out no faster.
pub(super) async fn send(State(node): State<Node>, Extension(way): Extension<Way>, call: Call, body: Body) -> Answer {
    let mut body = Chunks::new(body);
    let wishes = Wishes::of(&call).and_then(|wishes| Ok((wishes.for_sending(), call.rate("limit-up")?)));
    let (wishes, limit) = match wishes {
        Ok(wishes) => wishes,
        Err(failure) => {
            body.drain().await;
            return Err(failure);
        }
    };
    stream(&call, TREE, |output| async move {
        let sent = serve(&node, way, wishes, limit, &mut body, &output).await;
        send_end(&output, sent.as_ref().copied()).await;
        body.drain().await;
        Ok(())
    })
    .await
}

async fn serve(
    node: &Node,
    way: Way,
    wishes: Wishes,
    limit: Rate,
    body: &mut Chunks,
    output: &Output,
) -> Result<(), Failure> {
    // What cannot be served is not read first.
    let network = node.network().await?;
    let lease = node.store().lease().await;
    let Some(root) = import(node, way, wishes, body, output).await? else {
        return Err(Failure::usage("there is nothing to send"));
    };
    lease.protect(root.cid).await?;
    let audience = network.watch(root.cid, limit.limit()).await;
    let places = Places::of(node, root.cid).await?;
    send_note(
        output,
        json!({
            "Hash": root.cid.to_string(),
            "Size": root.size,
            "Total": places.total,
            "Peer": node.peer_id().to_string(),
            "Listening": listening(&network).await,
        }),
    )
    .await?;
    let mut told = vec![];
    loop {
        let receivers = audience.receivers().await;
        if receivers != told {
            send_note(
                output,
                json!({"Receivers": receivers.iter().map(|receiver| places.shown(receiver)).collect::<Vec<Value>>()}),
            )
            .await?;
            told = receivers;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = node.stopped() => return Err(Failure::failed("the node stopped while it served this")),
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Where it listens, with its name, each address once.
async fn listening(network: &Network) -> Vec<String> {
    let peer = network.peer_id();
    let addresses = network.listen_addresses().await;
    addresses.iter().map(|address| format!("{address}/p2p/{peer}")).collect()
}

/// Where each block stands in what is sent, in the order in which it is fetched: so that the block which went last says how far a
/// receiver is, whatever it had before.
struct Places {
    /// Of all blocks, each counted once.
    total: u64,
    /// After this block, so much has been fetched.
    after: HashMap<Multihash<64>, u64>,
}

impl Places {
    async fn of(node: &Node, root: Cid) -> Result<Self, Failure> {
        let mut places = Self { total: 0, after: HashMap::new() };
        let mut walk = Walk::default();
        walk.begin(root);
        let mut batch = vec![root];
        while let Some(cid) = walk.next(node).await? {
            batch.push(cid);
            if batch.len() >= LOOK_UP {
                places.add(node, std::mem::take(&mut batch)).await?;
            }
        }
        places.add(node, batch).await?;
        Ok(places)
    }

    async fn add(&mut self, node: &Node, batch: Vec<Cid>) -> Result<(), Failure> {
        let lengths = node.store().locate(batch.clone()).await?;
        for (cid, length) in batch.iter().zip(lengths) {
            self.total += u64::from(length.unwrap_or_default());
            if self.after.len() < MOST_PLACES {
                self.after.insert(*cid.hash(), self.total);
            }
        }
        Ok(())
    }

    fn shown(&self, receiver: &Receiver) -> Value {
        let last = receiver.served.last.and_then(|cid| self.after.get(cid.hash()));
        json!({
            "Peer": receiver.peer.to_string(),
            "Address": receiver.address.as_ref().map(ToString::to_string),
            "Bytes": receiver.served.bytes,
            "Position": last,
        })
    }
}

/// Blocks whose length is asked for at a time.
const LOOK_UP: usize = 256;
/// Of more blocks than these it is not known where they stand; that takes some 60 bytes each.
const MOST_PLACES: usize = 1 << 20;
