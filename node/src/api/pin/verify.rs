//! `pin/verify`: whether all that is pinned is here.

use axum::extract::State;
use cid::Cid;
use cidra_content::block::{Links, RAW};
use cidra_content::walk::{MAX_VISITED, Walk};
use serde_json::{Value, json};

use crate::api::answer::{Answer, Failure, Shape, stream};
use crate::api::call::{Call, CidForm};
use crate::http::describe;
use crate::node::Node;

/// An object for each recursive pin that lacks something, with `verbose` for each that is whole, too. Nothing is fetched.
pub(in crate::api) async fn verify(State(node): State<Node>, call: Call) -> Answer {
    let (verbose, quiet) = (call.is("verbose")?, call.is("quiet")?);
    if verbose && quiet {
        return Err(Failure::usage("the --verbose and --quiet options can not be used at the same time"));
    }
    let form = call.cid_form()?;
    stream(&call, Shape::Objects, |output| async move {
        let mut check = Check::default();
        for pin in node.pins().await?.into_iter().filter(|pin| pin.recursive) {
            let bad = check.look_at(&node, pin.cid).await?;
            let cid = form.text(&pin.cid);
            if bad.is_empty() {
                if verbose {
                    output.object(&json!({"Cid": cid, "Ok": true})).await;
                }
            } else if quiet {
                output.object(&json!({"Cid": cid})).await;
            } else {
                let bad: Vec<Value> = bad.into_iter().map(|bad| bad.object(&form)).collect();
                output.object(&json!({"Cid": cid, "BadNodes": bad})).await;
            }
        }
        Ok(())
    })
    .await
}

/// What is wrong below a pin.
struct Bad {
    cid: Cid,
    why: String,
}

impl Bad {
    fn missing(cid: Cid) -> Self {
        Self { cid, why: format!("block was not found locally (offline): ipld: could not find {cid}") }
    }

    fn object(self, form: &CidForm) -> Value {
        json!({"Cid": form.text(&self.cid), "Err": self.why})
    }
}

/// Pins that share blocks, one after the other.
#[derive(Default)]
struct Check {
    /// What it visited is whole.
    walk: Walk,
}

impl Check {
    /// What is missing below `root`, as far as the first [`MAX_BAD`], or to where it is too wide to be followed.
    async fn look_at(&mut self, node: &Node, root: Cid) -> Result<Vec<Bad>, Failure> {
        if self.walk.visited() > MAX_VISITED / 2 {
            self.walk = Walk::default();
        }
        let (mut bad, mut leaves) = (vec![], vec![]);
        self.walk.begin(root);
        while bad.len() < MAX_BAD {
            let Some(cid) = self.walk.visit() else { break };
            if cid.codec() == RAW {
                leaves.push(cid);
                if leaves.len() == LOOK_UP {
                    bad.extend(missing(node, &mut leaves).await?);
                }
                continue;
            }
            match links(node, cid).await {
                Ok(links) => {
                    if let Err(error) = self.walk.descend(&links) {
                        bad.push(Bad { cid, why: error.to_string() });
                        break;
                    }
                }
                Err(unreadable) => bad.push(unreadable),
            }
        }
        bad.extend(missing(node, &mut leaves).await?);
        if !bad.is_empty() {
            // Another pin may lead to the same gap: what is above it must be visited again.
            self.walk = Walk::default();
        }
        bad.truncate(MAX_BAD);
        Ok(bad)
    }
}

/// What a block links to, if it is here and can be read.
async fn links(node: &Node, cid: Cid) -> Result<Links, Bad> {
    let unreadable = |error: &dyn std::error::Error| Bad { cid, why: describe(error) };
    let block = node.store().block(&cid).await.map_err(|error| unreadable(&error))?;
    block.ok_or_else(|| Bad::missing(cid))?.links().map_err(|error| unreadable(&error))
}

/// Those of the leaves that are not here. Their bytes are not read: that is `repo verify`.
async fn missing(node: &Node, leaves: &mut Vec<Cid>) -> Result<Vec<Bad>, Failure> {
    let lengths = node.store().glance(leaves.clone()).await?;
    Ok(leaves.drain(..).zip(lengths).filter(|(_, length)| length.is_none()).map(|(cid, _)| Bad::missing(cid)).collect())
}

/// Gaps that are named of one pin; its next ones show when these were fetched.
pub(in crate::api) const MAX_BAD: usize = 1000;
/// Leaves looked up at a time.
const LOOK_UP: usize = 256;
