//! Walks over what pins protect, among blocks that are here.

use std::collections::HashSet;

use cid::Cid;
use cidra_content::walk::{MAX_AHEAD, TooWide};

use super::answer::Failure;
use super::call::CidForm;
use crate::node::{Node, pin_key};
use crate::store::Root;

/// Why a block is protected.
#[derive(Clone, Debug)]
pub(super) enum Protector {
    /// It is pinned itself.
    Pin(Root),
    /// It is below the root of this pin.
    Indirect(Cid),
}

impl Protector {
    pub(super) fn text(&self, form: &CidForm) -> String {
        match self {
            Self::Pin(root) => pin_type(root).to_owned(),
            Self::Indirect(root) => format!("indirect through {}", form.text(root)),
        }
    }
}

/// How Kubo calls a pin.
pub(super) fn pin_type(root: &Root) -> &'static str {
    if root.recursive { "recursive" } else { "direct" }
}

/// What protects each of `cids`. Walks the pinned DAGs only as far as it must.
pub(super) async fn protectors(node: &Node, cids: &[Cid]) -> Result<Vec<Option<Protector>>, Failure> {
    let pins = node.pins().await?;
    let mut found: Vec<Option<Protector>> =
        cids.iter().map(|cid| pins.iter().find(|pin| pin.key == pin_key(cid)).cloned().map(Protector::Pin)).collect();
    let mut walk = Walk::default();
    for pin in pins.iter().filter(|pin| pin.recursive) {
        walk.begin(pin.cid);
        while found.iter().any(Option::is_none) {
            let Some(below) = walk.next(node).await? else { break };
            for (cid, found) in cids.iter().zip(&mut found) {
                if found.is_none() && cid.hash() == below.hash() {
                    *found = Some(Protector::Indirect(pin.cid));
                }
            }
        }
        walk.stop();
    }
    Ok(found)
}

/// The blocks below roots, each once, as far as they are here.
#[derive(Default)]
pub(super) struct Walk {
    seen: HashSet<Vec<u8>>,
    ahead: Vec<Cid>,
    root: Option<Cid>,
}

impl Walk {
    /// The walk goes on below `root`, which itself is not given.
    pub(super) fn begin(&mut self, root: Cid) {
        self.root = Some(root);
        self.ahead.push(root);
    }

    /// Leaves what is ahead alone. What is below it is not known to have been seen.
    fn stop(&mut self) {
        if !self.ahead.is_empty() {
            self.ahead.clear();
            self.seen.clear();
        }
    }

    /// The next block; `None` at the end.
    pub(super) async fn next(&mut self, node: &Node) -> Result<Option<Cid>, Failure> {
        while let Some(cid) = self.ahead.pop() {
            let is_root = self.root.take_if(|root| *root == cid).is_some();
            if !is_root && !self.seen.insert(cid.hash().to_bytes()) {
                continue;
            }
            if cid.codec() != cidra_content::block::RAW
                && let Some(block) = node.store().block(&cid).await?
            {
                // A block whose links cannot be read has none that we could follow.
                let links = block.links().unwrap_or_default();
                self.ahead.extend(links.iter().rev().filter(|cid| !self.seen.contains(&cid.hash().to_bytes())));
                if self.ahead.len() > MAX_AHEAD {
                    return Err(TooWide.into());
                }
            }
            if !is_root {
                return Ok(Some(cid));
            }
        }
        Ok(None)
    }
}
