//! `get`: a file or a folder as a TAR stream.

use axum::extract::State;
use cidra_content::exchange::Order;

use super::answer::{Answer, Failure, Shape, stream};
use super::call::Piped;
use super::cat::length;
use crate::download::FetchOptions;
use crate::node::Node;

/// Entries are named from the last name of the path that was asked for. Kubo's `archive` asks for the same bytes;
/// compressing them is left to the caller.
pub(super) async fn get(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let path = call.path(&node).await?;
    let options = FetchOptions { order: Order::Any, ..call.fetch_options()? };
    if call.is("compress")? || call.text("compression-level")?.is_some() {
        return Err(Failure::usage("compress: this node sends plain TAR; compress it on your side"));
    }
    let cid = node.resolve(&path, &options).await?;
    let root = path.segments.last().cloned().unwrap_or_else(|| path.cid.to_string());
    let size = length(&node.entity(&cid, &options).await?);
    let mut tarball = node.tarball(cid, root, options);
    stream(&call, Shape::bytes("application/x-tar", Some(size)), |output| async move {
        while let Some(bytes) = tarball.next().await {
            output.bytes(bytes?).await;
        }
        Ok(())
    })
    .await
}
