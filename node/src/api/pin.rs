//! `pin/…`: what is kept.

mod verify;

use std::collections::BTreeMap;

use axum::extract::State;
use cid::Cid;
use cidra_content::exchange::Order;
use cidra_content::fetch::Selector;
use serde_json::{Value, json};

use super::answer::{Answer, Failure, Output, Shape, one, stream};
use super::call::{Call, CidForm, Piped};
use super::walk::{Protector, Walk, pin_type, protectors};
use crate::download::{DownloadEvent, FetchOptions};
use crate::node::{Node, pin_key};
use crate::store::RootKind;
#[cfg(test)]
pub(super) use verify::MAX_BAD;
pub(super) use verify::verify;

/// Fetches what is missing. With `progress`, tells how far it is.
pub(super) async fn add(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let paths = call.paths(&node).await?;
    let options = call.fetch_options()?;
    let form = call.cid_form()?;
    let wish = Wish { recursive: call.flag("recursive")?.unwrap_or(true), name: pin_name(&call, "name")? };
    if !call.is("progress")? {
        let mut pins = vec![];
        for path in paths {
            let cid = node.resolve(&path, &options).await?;
            pin(&node, cid, &wish, options.clone(), None).await?;
            pins.push(form.text(&cid));
        }
        return Ok(one(&json!({"Pins": pins})));
    }
    stream(&call, Shape::Objects, |output| async move {
        let mut pins = vec![];
        for path in paths {
            let cid = node.resolve(&path, &options).await?;
            pin(&node, cid, &wish, options.clone(), Some(&output)).await?;
            pins.push(form.text(&cid));
        }
        output.object(&json!({"Pins": pins})).await;
        Ok(())
    })
    .await
}

/// How something is to be pinned.
struct Wish {
    recursive: bool,
    name: Option<String>,
}

async fn pin(
    node: &Node,
    cid: Cid,
    wish: &Wish,
    options: FetchOptions,
    output: Option<&Output>,
) -> Result<(), Failure> {
    let pinned = node.store().root(RootKind::Pin, &pin_key(&cid)).await?;
    if !wish.recursive && pinned.is_some_and(|pin| pin.recursive) {
        return Err(Failure::failed(format!("{cid} already pinned recursively")));
    }
    // First, so that a collection which does not know of it deletes nothing of it any more.
    let lease = node.store().lease().await;
    lease.protect(cid).await?;
    if !wish.recursive || !node.store().is_complete(cid).await? {
        let selector = if wish.recursive { Selector::Dag } else { Selector::Block };
        // What is only in a file into which it was fetched is copied: whoever has that file may do anything to it.
        let mut download = node.download(cid, selector, FetchOptions { keep: true, order: Order::Any, ..options });
        while let Some(event) = download.next().await {
            if let (DownloadEvent::State(state), Some(output)) = (event?, output) {
                output.object(&json!({"Progress": state.progress.blocks, "Bytes": state.progress.bytes})).await;
            }
        }
        let progress = download.state().await.progress;
        if let (Some(output), true) = (output, progress.blocks > 0) {
            output.object(&json!({"Progress": progress.blocks, "Bytes": progress.bytes})).await;
        }
    }
    node.record_pin(cid, wish.recursive, wish.name.clone()).await?;
    Ok(node.announce(&[cid]).await?)
}

/// A name for a pin; none when it is empty.
pub(super) fn pin_name(call: &Call, option: &str) -> Result<Option<String>, Failure> {
    let name = call.text(option)?.filter(|name| !name.is_empty());
    if let Some(name) = name.filter(|name| name.len() > MAX_NAME) {
        return Err(Failure::usage(format!("pin name is {} bytes (max {MAX_NAME} bytes)", name.len())));
    }
    Ok(name.map(str::to_owned))
}

/// Kubo's limit, in bytes.
const MAX_NAME: usize = 255;

pub(super) async fn rm(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let paths = call.paths(&node).await?;
    let options = call.fetch_options()?;
    let form = call.cid_form()?;
    let recursive = call.flag("recursive")?.unwrap_or(true);
    let mut pins = vec![];
    for path in paths {
        let cid = node.resolve(&path, &options).await?;
        let Some(pin) = node.store().root(RootKind::Pin, &pin_key(&cid)).await? else {
            return Err(Failure::failed(format!("{}: not pinned or pinned indirectly", form.text(&cid))));
        };
        if pin.recursive && !recursive {
            return Err(Failure::failed(format!("{} is pinned recursively", form.text(&cid))));
        }
        node.unpin(&cid).await?;
        pins.push(form.text(&cid));
    }
    Ok(one(&json!({"Pins": pins})))
}

/// Pins another DAG in the place of one that is pinned: under its name, and what they share is there already.
pub(super) async fn update(State(node): State<Node>, call: Call) -> Answer {
    let paths = call.paths(&node).await?;
    let [from, to] = &paths[..] else {
        return Err(Failure::usage(format!(
            "what is pinned and what is to be are expected, not {} paths",
            paths.len()
        )));
    };
    let options = call.fetch_options()?;
    let form = call.cid_form()?;
    let unpin = call.flag("unpin")?.unwrap_or(true);
    let (from, to) = (node.resolve(from, &options).await?, node.resolve(to, &options).await?);
    let recursive = async |cid: &Cid| -> Result<_, Failure> {
        let pin = node.store().root(RootKind::Pin, &pin_key(cid)).await?;
        Ok(pin.filter(|pin| pin.recursive))
    };
    let Some(old) = recursive(&from).await? else {
        return Err(Failure::failed(format!("{}: 'from' cid was not recursively pinned already", form.text(&from))));
    };
    if pin_key(&from) != pin_key(&to) {
        if recursive(&to).await?.is_some() {
            return Err(Failure::failed(format!("{}: 'to' cid was already recursively pinned", form.text(&to))));
        }
        pin(&node, to, &Wish { recursive: true, name: old.name }, options, None).await?;
        // After the other is durable: whatever happens in between, one of them stands.
        if unpin {
            node.unpin(&from).await?;
        }
    }
    Ok(one(&json!({"Pins": [form.text(&from), form.text(&to)]})))
}

/// All pins and, as Kubo does, all that is below them unless `type` says otherwise; or what protects the arguments.
pub(super) async fn ls(State(node): State<Node>, call: Call) -> Answer {
    let listing = Listing::of(&call)?;
    if call.optional_arguments().is_empty() {
        if call.is("stream")? {
            return stream(&call, Shape::Objects, |output| async move {
                let mut pins = Pins::new(&node, &listing).await?;
                while let Some((cid, kind, name)) = pins.next(&node).await? {
                    output.object(&listing.object(&cid, &kind, &name)).await;
                }
                Ok(())
            })
            .await;
        }
        let mut pins = Pins::new(&node, &listing).await?;
        let mut keys = BTreeMap::new();
        while let Some((cid, kind, name)) = pins.next(&node).await? {
            keys.insert(listing.form.text(&cid), json!({"Type": kind, "Name": name}));
        }
        return Ok(one(&keyed(keys)));
    }
    let options = call.fetch_options()?;
    let mut cids = vec![];
    for path in call.paths(&node).await? {
        cids.push(node.resolve(&path, &options).await?);
    }
    let mut found = vec![];
    for ((cid, protector), argument) in cids.iter().zip(protectors(&node, &cids).await?).zip(call.optional_arguments())
    {
        match protector.filter(|protector| listing.shows(protector)) {
            Some(protector) => found.push((*cid, protector)),
            None => return Err(Failure::failed(format!("path '{argument}' is not pinned"))),
        }
    }
    let found = found.into_iter().map(|(cid, protector)| {
        let name = match &protector {
            Protector::Pin(root) if listing.names => root.name.clone().unwrap_or_default(),
            _ => String::new(),
        };
        (cid, protector.text(&listing.form), name)
    });
    if call.is("stream")? {
        let objects: Vec<Value> = found.map(|(cid, kind, name)| listing.object(&cid, &kind, &name)).collect();
        return stream(&call, Shape::Objects, |output| async move {
            for object in objects {
                output.object(&object).await;
            }
            Ok(())
        })
        .await;
    }
    Ok(one(&keyed(
        found.map(|(cid, kind, name)| (listing.form.text(&cid), json!({"Type": kind, "Name": name}))).collect(),
    )))
}

fn keyed(keys: BTreeMap<String, Value>) -> Value {
    if keys.is_empty() { json!({}) } else { json!({"Keys": keys}) }
}

/// Which pins to list, and how.
struct Listing {
    direct: bool,
    recursive: bool,
    indirect: bool,
    names: bool,
    /// Names must contain this.
    name: Option<String>,
    form: CidForm,
}

impl Listing {
    fn of(call: &Call) -> Result<Self, Failure> {
        let kind = call.text("type")?.unwrap_or("all");
        if !["direct", "indirect", "recursive", "all"].contains(&kind) {
            return Err(Failure::usage(format!(
                "invalid type '{kind}', must be one of {{direct, indirect, recursive, all}}"
            )));
        }
        let is = |this: &str| kind == "all" || kind == this;
        let name = pin_name(call, "name")?;
        Ok(Self {
            direct: is("direct"),
            recursive: is("recursive"),
            // What is below a pin has no name.
            indirect: is("indirect") && name.is_none(),
            names: call.is("names")? || name.is_some(),
            name,
            form: call.cid_form()?,
        })
    }

    fn shows(&self, protector: &Protector) -> bool {
        match protector {
            Protector::Pin(root) if root.recursive => self.recursive,
            Protector::Pin(_) => self.direct,
            Protector::Indirect(_) => self.indirect,
        }
    }

    fn object(&self, cid: &Cid, kind: &str, name: &str) -> Value {
        match name {
            "" => json!({"Cid": self.form.text(cid), "Type": kind}),
            name => json!({"Cid": self.form.text(cid), "Type": kind, "Name": name}),
        }
    }
}

/// The pins of a listing one after the other: direct and recursive ones, then what is below these.
struct Pins {
    direct: std::vec::IntoIter<(Cid, String, String)>,
    roots: std::vec::IntoIter<Cid>,
    walk: Walk,
    pinned: std::collections::HashSet<Vec<u8>>,
}

impl Pins {
    async fn new(node: &Node, listing: &Listing) -> Result<Self, Failure> {
        let pins = node.pins().await?;
        let roots: Vec<Cid> = match listing.indirect {
            true => pins.iter().filter(|pin| pin.recursive).map(|pin| pin.cid).collect(),
            false => vec![],
        };
        let pinned = pins.iter().map(|pin| pin.key.clone()).collect();
        let shown = pins.into_iter().filter(|pin| if pin.recursive { listing.recursive } else { listing.direct });
        let shown = shown.filter_map(|pin| {
            let (kind, name) = (pin_type(&pin).to_owned(), pin.name.unwrap_or_default());
            let matches = listing.name.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()));
            matches.then(|| (pin.cid, kind, if listing.names { name } else { String::new() }))
        });
        let direct = shown.collect::<Vec<_>>().into_iter();
        Ok(Self { direct, roots: roots.into_iter(), walk: Walk::default(), pinned })
    }

    async fn next(&mut self, node: &Node) -> Result<Option<(Cid, String, String)>, Failure> {
        if let Some(pin) = self.direct.next() {
            return Ok(Some(pin));
        }
        loop {
            match self.walk.next(node).await? {
                Some(cid) if self.pinned.contains(&pin_key(&cid)) => {}
                Some(cid) => return Ok(Some((cid, "indirect".to_owned(), String::new()))),
                None => match self.roots.next() {
                    Some(root) => self.walk.begin(root),
                    None => return Ok(None),
                },
            }
        }
    }
}
