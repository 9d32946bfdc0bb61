//! dag-pb in the data model: a map of `Data` and `Links`, each link one of `Hash`, `Name` and `Tsize` (its "logical format").

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Ipld, NodeError};
use crate::dag_pb::{Link, Node};

/// A name that is no UTF-8 is shown with replacement characters.
pub(super) fn read(node: &Node) -> Ipld {
    let links = node.links.iter().map(|link| {
        Ipld::Map(BTreeMap::from([
            ("Hash".to_owned(), Ipld::Link(link.cid)),
            ("Name".to_owned(), Ipld::String(String::from_utf8_lossy(&link.name).into_owned())),
            ("Tsize".to_owned(), Ipld::Integer(link.tsize.into())),
        ]))
    });
    let mut entries = BTreeMap::from([("Links".to_owned(), Ipld::List(links.collect()))]);
    if let Some(data) = &node.data {
        entries.insert("Data".to_owned(), Ipld::Bytes(data.to_vec()));
    }
    Ipld::Map(entries)
}

/// Links are sorted by their names, as the canonical form wants.
pub(super) fn write(node: &Ipld) -> Result<Node, NodeError> {
    let unfit = |why| NodeError::Unfit { codec: "dag-pb", why };
    let Ipld::Map(entries) = node else { return Err(unfit(SHAPE)) };
    if entries.keys().any(|key| key != "Data" && key != "Links") {
        return Err(unfit(SHAPE));
    }
    let data = match entries.get("Data") {
        None => None,
        Some(Ipld::Bytes(data)) => Some(Bytes::from(data.clone())),
        Some(_) => return Err(unfit(SHAPE)),
    };
    let Some(Ipld::List(items)) = entries.get("Links") else { return Err(unfit(SHAPE)) };
    let links: Option<Vec<Link>> = items.iter().map(write_link).collect();
    let mut links = links.ok_or_else(|| unfit(SHAPE))?;
    links.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Node { links, data })
}

const SHAPE: &str = "it has Links, each with Hash, Name and Tsize, and may have Data, and nothing else";

fn write_link(item: &Ipld) -> Option<Link> {
    let Ipld::Map(entries) = item else { return None };
    let known = ["Hash", "Name", "Tsize"];
    let Some(Ipld::Link(cid)) = entries.get("Hash") else { return None };
    let name = match entries.get("Name") {
        None => Bytes::new(),
        Some(Ipld::String(name)) => Bytes::from(name.clone()),
        Some(_) => return None,
    };
    let tsize = match entries.get("Tsize") {
        None => 0,
        Some(Ipld::Integer(tsize)) => u64::try_from(*tsize).ok()?,
        Some(_) => return None,
    };
    entries.keys().all(|key| known.contains(&key.as_str())).then_some(Link { cid: *cid, name, tsize })
}
