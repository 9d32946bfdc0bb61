//! `refs`: what blocks link to; `refs/local`: every block that is here.

use std::collections::HashMap;

use axum::extract::State;
use bytes::Bytes;
use cid::Cid;
use cidra_content::block::{DAG_PB, RAW};
use cidra_content::dag_pb;
use cidra_content::walk::{MAX_AHEAD, TooWide};
use cidra_content::{Block, fetch::DagError};
use serde_json::json;

use super::answer::{Answer, Failure, Output, Shape, stream};
use super::call::{Call, CidForm, Piped};
use crate::download::FetchOptions;
use crate::node::Node;

/// A line for each link, those of what is below too with `recursive`. Leaves are named, not fetched.
pub(super) async fn list(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let options = call.fetch_options()?;
    let style = Style::of(&call)?;
    let mut roots = vec![];
    for path in call.paths(&node).await? {
        roots.push(node.follow(&path, &options).await?.cid);
    }
    stream(&call, Shape::Objects, |output| async move {
        let mut listing = Listing { node, options, style, output, seen: HashMap::new(), lines: 0 };
        for root in roots {
            listing.walk(root).await?;
        }
        Ok(())
    })
    .await
}

/// How links are told.
struct Style {
    /// `<src>`, `<dst>` and `<linkname>` stand for what they say.
    format: String,
    unique: bool,
    /// How far down; `None`: to the end.
    depth: Option<u64>,
    form: CidForm,
}

impl Style {
    fn of(call: &Call) -> Result<Self, Failure> {
        let format = call.text("format")?.filter(|format| !format.is_empty()).unwrap_or(DESTINATION);
        let format = match call.is("edges")? {
            true if format != DESTINATION => {
                return Err(Failure::usage("using format argument with edges is not allowed"));
            }
            true => "<src> -> <dst>",
            false => format,
        };
        let depth = match call.is("recursive")? {
            true => u64::try_from(call.number::<i64>("max-depth")?.unwrap_or(-1)).ok(),
            false => Some(1),
        };
        Ok(Self { format: format.to_owned(), unique: call.is("unique")?, depth, form: call.cid_form()? })
    }
}

const DESTINATION: &str = "<dst>";

struct Listing {
    node: Node,
    options: FetchOptions,
    style: Style,
    output: Output,
    /// The least depth at which a block was seen, where each is told once.
    seen: HashMap<Cid, u64>,
    lines: u64,
}

/// A block of which links are still to be told.
struct Open {
    cid: Cid,
    links: std::vec::IntoIter<(Cid, Bytes)>,
}

impl Listing {
    /// Depth first, in the order of the links.
    async fn walk(&mut self, root: Cid) -> Result<(), Failure> {
        let mut open = vec![self.open(root).await?];
        let mut ahead = open[0].links.len();
        while let Some(last) = open.last_mut() {
            let Some((cid, name)) = last.links.next() else {
                open.pop();
                continue;
            };
            ahead -= 1;
            let above = last.cid;
            let depth = open.len() as u64;
            let (tell, descend) = self.visit(&cid, depth);
            if tell {
                self.tell(&above, &cid, &name).await?;
            }
            if descend && cid.codec() != RAW {
                if open.len() == MAX_DEPTH {
                    return Err(Failure::failed(format!("block {cid} is more than {MAX_DEPTH} links below the root")));
                }
                let below = self.open(cid).await?;
                ahead += below.links.len();
                if ahead > MAX_AHEAD {
                    return Err(TooWide.into());
                }
                open.push(below);
            }
        }
        Ok(())
    }

    /// Whether to tell of a link, and whether to go on below it.
    fn visit(&mut self, cid: &Cid, depth: u64) -> (bool, bool) {
        if self.style.depth.is_some_and(|most| depth > most) {
            return (false, false);
        }
        let below = self.style.depth.is_none_or(|most| depth < most);
        if !self.style.unique {
            return (true, below);
        }
        match self.seen.get_mut(cid) {
            None => {
                self.seen.insert(*cid, depth);
                (true, below)
            }
            // From a place higher up one gets further down.
            Some(seen) if self.style.depth.is_some() && depth < *seen => {
                *seen = depth;
                (false, below)
            }
            Some(_) => (false, false),
        }
    }

    async fn tell(&mut self, above: &Cid, cid: &Cid, name: &[u8]) -> Result<(), Failure> {
        self.lines += 1;
        if self.lines > MAX_LINES {
            let what = format!("more than {MAX_LINES} links: the DAG names its blocks again and again");
            return Err(Failure::failed(format!("{what}; --unique names each once")));
        }
        let Style { format, form, .. } = &self.style;
        let line = format.replace("<src>", &form.text(above));
        let line = line.replace("<dst>", &form.text(cid)).replace("<linkname>", &String::from_utf8_lossy(name));
        self.output.object(&json!({"Ref": line, "Err": ""})).await;
        Ok(())
    }

    async fn open(&self, cid: Cid) -> Result<Open, Failure> {
        let block = self.node.block(&cid, &self.options).await?;
        Ok(Open { cid, links: links(&block)?.into_iter() })
    }
}

fn links(block: &Block) -> Result<Vec<(Cid, Bytes)>, DagError> {
    if block.cid().codec() == DAG_PB
        && let Ok(node) = dag_pb::Node::decode(block.data())
    {
        return Ok(node.links.into_iter().map(|link| (link.cid, link.name)).collect());
    }
    let links = block.links().map_err(|error| DagError::Links(Box::new(error)))?;
    Ok(links.iter().map(|cid| (*cid, Bytes::new())).collect())
}

/// A DAG can name one child a thousand times on each of forty levels: then each line is told, up to so many.
const MAX_LINES: u64 = 1 << 24;
/// As a download has it.
const MAX_DEPTH: usize = 256;

/// The store knows blocks by their hashes, so that each is named as a raw block, as in Kubo.
pub(super) async fn local(State(node): State<Node>, call: Call) -> Answer {
    let form = call.cid_form()?;
    stream(&call, Shape::Objects, |output| async move {
        let mut after = None;
        loop {
            let page = node.store().list(after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (hash, _) in page {
                output.object(&json!({"Ref": form.text(&Cid::new_v1(RAW, hash)), "Err": ""})).await;
            }
        }
    })
    .await
}

/// Blocks looked up at a time.
const PAGE: usize = 1024;
