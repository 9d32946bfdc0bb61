//! The blocks of a DAG as a CARv1 (trustless gateway specification, CAR Responses): those on the way first, then depth first.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::header::ACCEPT_RANGES;
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use cid::Cid;
use cidra_content::block::{DAG_PB, RAW};
use cidra_content::car;
use cidra_content::gateway::CarRequest;
use cidra_content::gateway::car::Scope;
use cidra_content::unixfs::Entity;
use cidra_content::walk::EntityWalk;
use cidra_content::{Block, hash};
use futures::stream::{self, StreamExt};

use super::answer::{Keep, disposition, headers, no_sniffing, not_modified, response};
use super::asked::Asked;
use super::body::cut;
use super::refusal::Refusal;
use super::route::Target;
use super::{Answer, Gateway};
use crate::download::{FetchError, FetchOptions};
use crate::node::{DagReader, Node, Resolved};

impl Gateway {
    pub(super) async fn car(&self, asked: &Asked, target: &Target, found: &Resolved, options: &FetchOptions) -> Answer {
        let request = CarRequest::of(&asked.query, &asked.wish)
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        // The same blocks in the same order, whenever and wherever; but another version may order them differently.
        let tag = format!("W/\"{}.car.{request}{}\"", target.content.cid, below(target));
        let mut headers = headers(asked, target, found, &tag, Keep::Content);
        let last = self.node.block(&found.cid, options).await.map_err(|error| asked.failed(error))?;
        let walk = self.walk(&request, found, &last, options)?;
        if asked.has(&tag) {
            return Ok(not_modified(headers));
        }
        let dups = if request.duplicates { "y" } else { "n" };
        no_sniffing(&mut headers, &format!("application/vnd.ipld.car; version=1; order=dfs; dups={dups}"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
        let filename = asked.filename().map_or_else(|| format!("{}.car", found.cid), str::to_owned);
        disposition(&mut headers, "attachment", &filename);
        if asked.head {
            return Ok(response(StatusCode::OK, headers, Body::empty()));
        }
        let mut blocks = Blocks { node: self.node.clone(), options: options.clone(), way: found.way.clone(), walk };
        blocks.way.reverse();
        // What fails at once has a status of its own.
        let first = blocks.next().await.map_err(|error| asked.failed(error))?;
        let first = first.map_or(vec![], |block| section(block).to_vec());
        let first = [vec![car::header(&[found.cid])], first].concat();
        let rest = stream::unfold(Some(blocks), |blocks| async move {
            let mut blocks = blocks?;
            let next = blocks.next().await.inspect_err(cut).transpose()?;
            let is_last = next.is_err();
            Some((next, (!is_last).then_some(blocks)))
        });
        let rest = rest.flat_map(|block: Result<Block, FetchError>| {
            stream::iter(match block {
                Ok(block) => section(block).into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(std::io::Error::other(error))],
            })
        });
        let body = stream::iter(first.into_iter().map(Ok)).chain(rest);
        Ok(response(StatusCode::OK, headers, Body::from_stream(body)))
    }

    fn walk(
        &self,
        request: &CarRequest,
        found: &Resolved,
        last: &Block,
        options: &FetchOptions,
    ) -> Result<Walk, Refusal> {
        let cid = found.cid;
        let is_unixfs = matches!(cid.codec(), DAG_PB | RAW);
        let whole = || match request.duplicates {
            true => DagReader::repeating(self.node.clone(), cid, options.clone()),
            false => DagReader::new(self.node.clone(), cid, options.clone()),
        };
        match (request.scope, Entity::parse(last)) {
            (Scope::All, _) => Ok(Walk::Whole(Box::new(whole()))),
            (Scope::Entity, Ok(entity @ (Entity::File(_) | Entity::Raw(_)))) if is_unixfs => {
                let Some(bytes) = request.bytes else { return Ok(Walk::Whole(Box::new(whole()))) };
                let size = entity.into_file().map_or(0, |file| file.size());
                let range = bytes.within(size);
                if range.is_empty() && bytes.from >= 0 && bytes.from.unsigned_abs() >= size && size > 0 {
                    let why = format!("entity-bytes lie behind the {size} bytes of this file");
                    return Err(Refusal::new(StatusCode::BAD_REQUEST, why));
                }
                Ok(Walk::Part { walk: EntityWalk::new(cid, range), repeats: request.duplicates, ahead: HashMap::new() })
            }
            (Scope::Entity, Ok(Entity::Shard(_))) if is_unixfs => {
                Ok(Walk::Part { walk: EntityWalk::new(cid, 0..0), repeats: request.duplicates, ahead: HashMap::new() })
            }
            (Scope::Entity | Scope::Block, _) => Ok(Walk::Block(Some(last.clone()))),
        }
    }
}

/// The path marks the tag: the blocks on the way are part of the answer.
fn below(target: &Target) -> String {
    let path = target.content.segments.join("/");
    if path.is_empty() { path } else { format!(".{:08x}", crc32c::crc32c(path.as_bytes())) }
}

fn section(block: Block) -> [Bytes; 2] {
    [car::section_head(block.cid(), block.data().len()), block.into_data()]
}

/// The blocks of an answer.
struct Blocks {
    node: Node,
    options: FetchOptions,
    /// Those on the way, the next one last.
    way: Vec<Cid>,
    walk: Walk,
}

enum Walk {
    Block(Option<Block>),
    Part { walk: EntityWalk, repeats: bool, ahead: HashMap<Cid, Block> },
    Whole(Box<DagReader>),
}

impl Blocks {
    async fn next(&mut self) -> Result<Option<Block>, FetchError> {
        loop {
            let block = match self.way.pop() {
                Some(cid) => Some(self.node.block(&cid, &self.options).await?),
                None => self.walk.next(&self.node, &self.options).await?,
            };
            // What stands in its CID is in the block that names it.
            match block {
                Some(block) if block.cid().hash().code() == hash::Function::Identity.code() => {}
                block => return Ok(block),
            }
        }
    }
}

impl Walk {
    async fn next(&mut self, node: &Node, options: &FetchOptions) -> Result<Option<Block>, FetchError> {
        match self {
            Self::Block(block) => Ok(block.take()),
            Self::Whole(reader) => reader.next().await,
            Self::Part { walk, repeats, ahead } => {
                while let Some((cid, is_new)) = walk.visit() {
                    if !ahead.contains_key(&cid) {
                        ahead.clear();
                        let mut wanted = vec![cid];
                        wanted.extend(walk.upcoming(AHEAD - 1));
                        wanted.sort();
                        wanted.dedup();
                        let blocks = node.blocks(cid, &wanted, options).await?;
                        ahead.extend(blocks.into_iter().map(|block| (*block.cid(), block)));
                    }
                    let block = ahead.get(&cid).cloned().ok_or(FetchError::NotHere { cid })?;
                    walk.handle_block(&block)?;
                    if is_new || *repeats {
                        return Ok(Some(block));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// Blocks of a part that are fetched side by side; 32 MiB of the largest.
const AHEAD: usize = 16;
