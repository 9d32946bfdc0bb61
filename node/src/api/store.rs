//! The store of this node for those who handed it over: each question is a method of `Store`. On the socket only.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use cid::Cid;
use cidra_content::Block;
use cidra_content::hash::Expect;
use futures::stream::iter;
use serde::Serialize;
use serde_json::json;

use super::answer::{Answer, Failure, Shape, stream};
use super::call::Call;
use super::handover::Handover;
use super::upload::Chunks;
use crate::http::describe;
use crate::node::Node;
use crate::store::wire::{Ask, Asked, CidText, HashText, LINE_MAX, cids};
use crate::store::{Lease, StoreError};

/// Begins the session that the body names. It lasts as long as the answer is read.
pub(super) async fn join(
    State(node): State<Node>,
    socket: Option<Extension<Handover>>,
    call: Call,
    body: Body,
) -> Answer {
    on_the_socket(socket)?;
    let mut body = Chunks::new(body);
    let (session, _) = line(&mut body, SESSION_MAX).await?;
    let entered = node.guests().enter(&String::from_utf8_lossy(&session)).await?;
    let presence = entered.ok_or_else(|| Failure::failed("this session is not known here, or over"))?;
    stream(&call, Shape::Objects, |output| async move {
        output.object(&json!({"Session": "begun"})).await;
        node.stopped().await;
        drop(presence);
        Ok(())
    })
    .await
}

/// The longest name of a session, in bytes.
const SESSION_MAX: usize = 64;

/// Answers one question.
pub(super) async fn ask(State(node): State<Node>, socket: Option<Extension<Handover>>, body: Body) -> Answer {
    on_the_socket(socket)?;
    let mut body = Chunks::new(body);
    let (line, begun) = line(&mut body, LINE_MAX).await?;
    let Asked { session, ask } = serde_json::from_slice(&line).map_err(|error| Failure::misused(&error))?;
    let lease = node.guests().lease(&session);
    let lease = lease.ok_or_else(|| Failure::failed("this session is not known here, or over"))?;
    let lengths = ask.payload().ok_or_else(|| Failure::usage("more blocks than one question may bring"))?;
    let blocks = payload(&mut body, begun, &lengths).await?;
    answer(&node, &lease, ask, blocks).await
}

fn on_the_socket(socket: Option<Extension<Handover>>) -> Result<(), Failure> {
    match socket {
        Some(_) => Ok(()),
        None => Err(Failure::failed("a store is shared on the repository's socket alone")),
    }
}

async fn answer(node: &Node, lease: &Lease, ask: Ask, blocks: Vec<Bytes>) -> Answer {
    let store = node.store();
    match ask {
        Ask::Announced { cid, when } => told(store.announced(cid.0, when).await),
        Ask::AnnouncementTimes => {
            let times = store.announcement_times().await;
            told(times.map(|times| times.into_iter().map(|(cid, when)| (CidText(cid), when)).collect::<Vec<_>>()))
        }
        Ask::Announcements => {
            told(store.announcements().await.map(|queued| queued.into_iter().map(CidText).collect::<Vec<_>>()))
        }
        Ask::Block { cid } => bytes(store.block(&cid.0).await.map(|block| block.map(Block::into_data))),
        Ask::Commit => told(store.commit().await),
        Ask::IsComplete { cid } => told(store.is_complete(cid.0).await),
        Ask::List { after, most } => {
            let listed = store.list(after.map(|hash| hash.0), most).await;
            told(listed.map(|listed| listed.into_iter().map(|(hash, len)| (HashText(hash), len)).collect::<Vec<_>>()))
        }
        Ask::Load { cid } => bytes(store.load(&cid.0).await.map(|stored| stored.map(|stored| stored.data))),
        Ask::Protect { cid } => told(lease.protect(cid.0).await),
        Ask::Put { blocks: heads } => {
            let heads = heads.into_iter().map(|(cid, _)| cid.0);
            told(store.put(proven(node, heads.zip(blocks).collect()).await?).await)
        }
        Ask::QueueAnnouncement { cid } => told(node.announce(&[cid.0]).await),
        Ask::Refer { source, parts } => told(store.refer(source, parts).await),
        Ask::Remove { cids: texts } => told(store.remove(cids(texts)).await),
        Ask::RemoveRoot { kind, key } => told(store.remove_root(kind, &key).await),
        Ask::ReplaceRoot { was, root } => told(store.replace_root(was.map(|was| was.0), root).await),
        Ask::Root { kind, key } => told(store.root(kind, &key).await),
        Ask::Roots { kind } => told(store.roots(kind).await),
        Ask::SetComplete { cid } => told(store.set_complete(cid.0).await),
        Ask::SetRoots { roots } => told(store.set_roots(roots).await),
        Ask::Settle { was, now } => told(store.settle(was, now).await),
        Ask::SourcesOf { cids: texts } => told(store.sources_of(cids(texts)).await),
        Ask::Stat => told(store.stat().await),
        Ask::Survey { cids: texts } => told(store.look_up(cids(texts)).await),
        Ask::Unannounce { cid } => told(store.unannounce(cid.0).await),
    }
}

/// What came from another process is proved before it is kept.
async fn proven(node: &Node, blocks: Vec<(Cid, Bytes)>) -> Result<Vec<Block>, Failure> {
    let claims = blocks.into_iter().map(|(cid, data)| (Expect::Cid(cid), data)).collect();
    let proven: Result<Vec<Block>, _> = node.pool().verify(claims).await.into_iter().collect();
    proven.map_err(|error| Failure::misused(&error))
}

/// A line, and what came with it of the bytes behind it. Without an end of line, all there is.
async fn line(body: &mut Chunks, longest: usize) -> Result<(Bytes, BytesMut), Failure> {
    let mut read = BytesMut::new();
    let mut searched = 0;
    loop {
        let end = read[searched..].iter().position(|byte| *byte == b'\n');
        if end.map_or(read.len(), |end| searched + end) > longest {
            return Err(Failure::usage(format!("a line has more than {longest} bytes")));
        }
        if let Some(end) = end {
            let line = read.split_to(searched + end + 1).freeze();
            return Ok((line.slice(..line.len() - 1), read));
        }
        searched = read.len();
        match body.next().await? {
            Some(bytes) => read.extend_from_slice(&bytes),
            None => return Ok((read.freeze(), BytesMut::new())),
        }
    }
}

/// Blocks of these lengths, and nothing behind them.
async fn payload(body: &mut Chunks, begun: BytesMut, lengths: &[u32]) -> Result<Vec<Bytes>, Failure> {
    let whole = lengths.iter().map(|length| *length as usize).sum();
    let mut read = BytesMut::with_capacity(whole);
    let mut piece = Some(begun.freeze());
    while let Some(bytes) = piece {
        if read.len() + bytes.len() > whole {
            return Err(Failure::usage("more bytes than the line announces"));
        }
        read.extend_from_slice(&bytes);
        piece = body.next().await?;
    }
    if read.len() < whole {
        return Err(Failure::usage("fewer bytes than the line announces"));
    }
    Ok(lengths.iter().map(|length| read.split_to(*length as usize).freeze()).collect())
}

/// What the store says, its failure included: that is an answer, too.
fn told<T: Serialize>(told: Result<T, StoreError>) -> Answer {
    Ok(Response::new(Body::from(told_line(told.map_err(|error| describe(&error))))))
}

/// Whether there is a block, then its bytes.
fn bytes(told: Result<Option<Bytes>, StoreError>) -> Answer {
    let line = told_line(told.as_ref().map(Option::is_some).map_err(|error| describe(error)));
    let data = told.ok().flatten().unwrap_or_default();
    let pieces = [line, data].into_iter().filter(|piece| !piece.is_empty());
    Ok(Response::new(Body::from_stream(iter(pieces.map(Ok::<_, std::convert::Infallible>)))))
}

fn told_line<T: Serialize>(told: Result<T, String>) -> Bytes {
    let mut line = serde_json::to_vec(&told).expect("text and numbers have a JSON form");
    line.push(b'\n');
    line.into()
}
