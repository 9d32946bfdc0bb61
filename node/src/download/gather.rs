//! Single blocks out of the store and, what is not there, from peers.

use std::collections::BTreeSet;
use std::time::Duration;

use cid::Cid;
use cidra_content::Block;
use cidra_content::exchange::Order;
use futures::future::join_all;
use tokio::time::{Instant, sleep_until};

use super::report::Patience;
use super::{FetchError, FetchOptions, LOOK_UP, unprovable};
use crate::network::{Session, SessionEvent};
use crate::node::Node;
use crate::store::{Store, StoreError};

/// Blocks by their CIDs, in the order given, from the store and else from peers that have `root`.
pub(crate) async fn gather(
    node: &Node,
    root: Cid,
    cids: &[Cid],
    options: &FetchOptions,
) -> Result<Vec<Block>, FetchError> {
    check(node, cids.iter())?;
    let mut blocks = Vec::with_capacity(cids.len());
    let mut session: Option<Session> = None;
    for batch in cids.chunks(LOOK_UP) {
        let here = join_all(batch.chunks(READ).map(|cids| read(node.store(), cids))).await;
        let here: Vec<Vec<Option<Block>>> = here.into_iter().collect::<Result<_, _>>()?;
        let here: Vec<Option<Block>> = here.into_iter().flatten().collect();
        let absent: Vec<Cid> =
            batch.iter().zip(&here).filter(|(_, block)| block.is_none()).map(|(cid, _)| *cid).collect();
        if !absent.is_empty() {
            deliver(node, root, &absent, options, &mut session).await?;
        }
        for (cid, block) in batch.iter().zip(here) {
            let block = match block {
                Some(block) => Some(block),
                None => node.store().block(cid).await?,
            };
            blocks.push(block.ok_or(FetchError::NotHere { cid: *cid })?);
        }
    }
    Ok(blocks)
}

/// Nothing that is denied is read or fetched.
pub(super) fn check<'a>(node: &Node, mut cids: impl Iterator<Item = &'a Cid>) -> Result<(), FetchError> {
    let denied = node.denied();
    let found = cids.find_map(|cid| Some((cid, denied.block(cid)?)));
    let Some((cid, denial)) = found else { return Ok(()) };
    Err(FetchError::Denied { what: format!("block {cid}"), denial: Box::new(denial) })
}

/// Blocks that one thread reads at a time.
const READ: usize = 64;

async fn read(store: &Store, cids: &[Cid]) -> Result<Vec<Option<Block>>, StoreError> {
    store.read_blocks(cids.to_vec()).await?.await
}

/// Waits until all of `absent` came from peers.
async fn deliver(
    node: &Node,
    root: Cid,
    absent: &[Cid],
    options: &FetchOptions,
    session: &mut Option<Session>,
) -> Result<(), FetchError> {
    if options.offline {
        return Err(FetchError::NotHere { cid: absent[0] });
    }
    if let Some(error) = absent.iter().find_map(unprovable) {
        return Err(error);
    }
    let session = match session {
        Some(session) => session,
        None => {
            let network = node.network().await?;
            session.insert(network.open(root, Order::Priority, options.holders.clone()).await)
        }
    };
    let mut patience = Patience::new(options, Instant::now());
    patience.begin(Instant::now());
    session.want(absent.iter().map(|cid| (*cid, 0)).collect()).await;
    let mut waiting: BTreeSet<Cid> = absent.iter().copied().collect();
    while let Some(next) = waiting.first().copied() {
        let wake = patience.deadline().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        let event = tokio::select! {
            event = session.next() => Some(event.ok_or(FetchError::Stopped)?),
            () = sleep_until(wake) => None,
        };
        let now = Instant::now();
        match event {
            Some(SessionEvent::Delivered { cid, .. }) => {
                waiting.remove(&cid);
                patience.delivered(now);
            }
            Some(SessionEvent::Missing { cid, report }) => patience.missing(cid, report),
            None => {
                let received = session.report().await.map_or(0, |report| report.bytes);
                patience.received(received, now);
            }
        }
        if patience.is_over(now) {
            return Err(patience.end(next, session.report().await.as_ref(), now));
        }
    }
    Ok(())
}
