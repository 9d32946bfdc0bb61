//! `name/…`: publishing names, and finding out where they lead.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use cidra_content::ipns::{self, Entry, MAX_RECORD, Name};
use cidra_content::path::NamePath;
use serde_json::json;

use super::answer::{Answer, Failure, Shape, one, stream};
use super::call::{Call, Piped, content_path};
use super::key::{NameForm, of_key};
use super::routing::within;
use super::upload::Upload;
use crate::keys::OWN;
use crate::names::{NameError, PublishError, Publishing, Resolving, Step, verify};
use crate::node::Node;

/// Lets a name lead to a path.
pub(super) async fn publish(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let form = NameForm::of(&call)?;
    let given = call.argument("ipfs-path")?;
    let name = NamePath::parse(given).map_err(|error| Failure::misused(&error))?;
    let value = match &name {
        Some(path) => path.to_string(),
        None => content_path(given)?.to_string(),
    };
    let lifetime = call.duration("lifetime")?.unwrap_or(ipns::LIFETIME);
    if lifetime.is_zero() {
        return Err(Failure::usage("lifetime must be greater than zero"));
    }
    let ttl = call.duration("ttl")?;
    if let Some(ttl) = ttl.filter(|ttl| *ttl > lifetime) {
        return Err(Failure::usage(format!("ttl ({ttl:?}) must not be greater than lifetime ({lifetime:?})")));
    }
    let publishing = Publishing {
        lifetime,
        ttl: ttl.unwrap_or(ipns::TTL.min(lifetime)),
        sequence: call.number("sequence")?,
        version_1: call.flag("v1compat")?.unwrap_or(true),
        allow_offline: call.is("allow-offline")?,
        ..Publishing::of(value)
    };
    let key = node.keys().find(call.text("key")?.unwrap_or(OWN)).map_err(of_key)?;
    if call.flag("resolve")?.unwrap_or(true) {
        let path = call.content(&node, given).await?;
        let options = call.fetch_options()?;
        let found = node.follow(&path, &options).await?;
        node.block(&found.cid, &options).await?;
    }
    let record = within(call.duration("timeout")?, node.publish(&key, &publishing)).await?.map_err(of_publishing)?;
    Ok(one(&json!({"Name": form.text(record.name()), "Value": record.path()})))
}

fn of_publishing(error: PublishError) -> Failure {
    match error {
        PublishError::Sequence { .. } | PublishError::Record(_) => Failure::misused(&error),
        error => error.into(),
    }
}

/// Where a name leads: to its end, or with `recursive=false` one step.
pub(super) async fn resolve(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let text = match call.optional_arguments() {
        [] => Name::of_public_key(&node.keypair().public().encode_protobuf()).to_string(),
        [only] => only.clone(),
        _ => return Err(Failure::usage("one argument \"name\" is expected")),
    };
    let text = if text.starts_with("/ipns/") || text.contains(':') { text } else { format!("/ipns/{text}") };
    let Some(path) = NamePath::parse(&text).map_err(|error| Failure::misused(&error))? else {
        return Err(Failure::usage(format!("{text:?} is no name")));
    };
    let resolving = resolving(&call)?;
    let recursive = call.flag("recursive")?.unwrap_or(true);
    let is_stream = call.is("stream")?;
    stream(&call, Shape::Objects, |output| async move {
        if is_stream && !resolving.no_cache {
            // What is known at once comes first.
            let known = Resolving { offline: true, ..resolving.clone() };
            if let Ok(known) = end(&node, &path, recursive, &known).await {
                output.object(&json!({"Path": known})).await;
            }
        }
        let found = end(&node, &path, recursive, &resolving).await.map_err(of_name)?;
        output.object(&json!({"Path": found})).await;
        Ok(())
    })
    .await
}

async fn end(node: &Node, path: &NamePath, recursive: bool, resolving: &Resolving) -> Result<String, NameError> {
    if recursive {
        return Ok(node.resolve_name(path, resolving).await?.content.to_string());
    }
    let Step { path: text, .. } = node.step(&path.name, resolving).await?;
    Ok(path.segments.iter().fold(text, |text, segment| format!("{text}/{segment}")))
}

/// How to resolve names: `offline`, `nocache`, `dht-timeout`, `dht-record-count`, `timeout`.
pub(super) fn resolving(call: &Call) -> Result<Resolving, Failure> {
    let usual = Resolving::default();
    let timeout = match call.duration("dht-timeout")? {
        Some(Duration::ZERO) => FOR_EVER,
        Some(timeout) => timeout,
        None => call.duration("timeout")?.unwrap_or(usual.timeout),
    };
    Ok(Resolving {
        offline: call.is("offline")?,
        no_cache: call.is("nocache")?,
        timeout,
        enough: call.number("dht-record-count")?.unwrap_or(usual.enough),
    })
}

/// Longer than any look-up lasts.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

pub(super) fn of_name(error: NameError) -> Failure {
    match error {
        NameError::NoName { .. } => Failure::misused(&error),
        NameError::Dns { .. } | NameError::Unknown { .. } | NameError::Malformed { .. } | NameError::TooLong { .. } => {
            Failure::missing(crate::http::describe(&error))
        }
        error => error.into(),
    }
}

/// What stands in a record, and with `verify` whether it is of that name.
pub(super) async fn inspect(headers: HeaderMap, call: Call, body: Body) -> Answer {
    let bytes = record_in(&headers, body).await?;
    let entry = Entry::parse(&bytes).map_err(|error| Failure::misused(&error))?;
    let validation = match call.text("verify")? {
        None => None,
        Some(text) => {
            let name = Name::parse(text).map_err(|error| Failure::misused(&error))?;
            let verified = verify(&name, &bytes);
            let reason = verified.as_ref().err().map(|error| crate::http::describe(error)).unwrap_or_default();
            Some(json!({"Valid": verified.is_ok(), "Reason": reason, "Name": name.to_string()}))
        }
    };
    let dump = if call.flag("dump")?.unwrap_or(true) { hex_dump(&bytes) } else { String::new() };
    Ok(one(&json!({
        "Entry": {
            "Value": entry.path().unwrap_or_default(),
            "ValidityType": entry.validity_type().ok(),
            "Validity": entry.validity().ok().map(|validity| validity.to_string()),
            "Sequence": entry.sequence().ok(),
            "TTL": entry.ttl().ok().map(|ttl| u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX)),
        },
        "PbSize": bytes.len(),
        "SignatureType": if entry.has_version_1() { "V1+V2" } else { "V2" },
        "HexDump": dump,
        "Validation": validation,
    })))
}

/// The only file of an upload: a record.
pub(super) async fn record_in(headers: &HeaderMap, body: Body) -> Result<bytes::Bytes, Failure> {
    let mut upload = Upload::new(headers, body)?;
    let too_long = || Failure::usage(format!("a record of more than {MAX_RECORD} bytes: that is the limit"));
    let bytes = upload.next_whole(MAX_RECORD, too_long).await?;
    upload.drain().await;
    bytes.ok_or_else(|| Failure::usage("argument \"record\" is required"))
}

/// As `hexdump -C` shows bytes, and Go.
fn hex_dump(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for (index, line) in bytes.chunks(16).enumerate() {
        let _ = write!(dump, "{:08x}", index * 16); // writing to a string does not fail
        for place in 0..16 {
            let gap = if place % 8 == 0 { "  " } else { " " };
            let _ = match line.get(place) {
                Some(byte) => write!(dump, "{gap}{byte:02x}"),
                None => write!(dump, "{gap}  "),
            };
        }
        let text =
            line.iter().map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' });
        let _ = writeln!(dump, "  |{}|", text.collect::<String>());
    }
    dump
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_dumped_as_go_dumps_them() {
        let dump = hex_dump(b"0123456789abcdef\n\xff");

        assert_eq!(
            dump,
            "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n\
             00000010  0a ff                                             |..|\n"
        );
    }
}
