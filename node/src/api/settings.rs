//! `cidra/config/…`: the settings of `config.toml` by their own names. The file is what is read and written; whether a change
//! counts at once is in the answer.
//!
//! Tokens are shown to the owner of the repository alone, and only when asked for. A value may come in the body, a line each,
//! where a query would end in somebody's log.

use axum::Extension;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Failure, one};
use super::call::{Call, Piped};
use super::doors::Private;
use crate::config::{Config, ConfigError, Document, Effect, KEYS, Key, selected};
use crate::node::Node;

/// All settings, by section.
pub(super) async fn show(State(node): State<Node>, private: Option<Extension<Private>>, call: Call) -> Answer {
    let reveals = reveals(&call, private)?;
    Ok(one(&by_section(KEYS, node.document()?.config(), reveals)))
}

/// A setting, or those of a section.
pub(super) async fn get(State(node): State<Node>, private: Option<Extension<Private>>, call: Call) -> Answer {
    let name = call.argument("key")?;
    let reveals = reveals(&call, private)?;
    let document = node.document()?;
    let value = match &selected(name).map_err(misused)?[..] {
        [key] if key.name == name => shown(*key, document.config(), reveals),
        keys => by_section(keys, document.config(), reveals)[name].take(),
    };
    Ok(one(&json!({"Key": name, "Value": value})))
}

pub(super) async fn set(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let [name, value] = call.optional_arguments() else {
        return Err(Failure::usage("a key and a value are expected"));
    };
    change(&node, name, |document, key| document.set(key, value)).await
}

pub(super) async fn unset(State(node): State<Node>, call: Call) -> Answer {
    change(&node, call.argument("key")?, Document::unset).await
}

pub(super) async fn add(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let (name, items) = key_and_items(&call)?;
    change(&node, name, |document, key| document.add(key, items)).await
}

pub(super) async fn rm(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let (name, items) = key_and_items(&call)?;
    change(&node, name, |document, key| document.remove(key, items)).await
}

fn key_and_items(call: &Call) -> Result<(&str, &[String]), Failure> {
    match call.optional_arguments() {
        [name, items @ ..] if !items.is_empty() => Ok((name, items)),
        _ => Err(Failure::usage("a key and at least one value are expected")),
    }
}

async fn change(node: &Node, name: &str, change: impl FnOnce(&mut Document, Key) -> Result<(), ConfigError>) -> Answer {
    let key = Key::named(name).map_err(misused)?;
    let config = node.configure(|document| {
        change(document, key)?;
        Ok(document.config().clone())
    });
    let config = config.map_err(misused)?;
    let effect = match node.apply(key, &config).await {
        Effect::Now => "now",
        Effect::Restart => "restart",
    };
    Ok(one(&json!({"Key": name, "Value": shown(key, &config, false), "Effect": effect})))
}

fn reveals(call: &Call, private: Option<Extension<Private>>) -> Result<bool, Failure> {
    match (call.is("secrets")?, private) {
        (true, None) => Err(Failure::usage("tokens are shown on the repository's own socket alone, not over TCP")),
        (asked, _) => Ok(asked),
    }
}

fn by_section(keys: &[Key], config: &Config, reveals: bool) -> Value {
    let mut sections = Map::new();
    for key in keys {
        let (section, name) = key.parts();
        let values = sections.entry(section).or_insert_with(|| json!({}));
        values[name] = shown(*key, config, reveals);
    }
    sections.into()
}

fn shown(key: Key, config: &Config, reveals: bool) -> Value {
    let mut value = key.value(config);
    if let (true, false, Some(items)) = (key.is_secret(), reveals, value.as_array_mut()) {
        items.fill(HIDDEN.into());
    }
    value
}

/// What stands for a token.
const HIDDEN: &str = "(hidden)";

/// What was asked for is wrong, or the file cannot be used.
fn misused(error: ConfigError) -> Failure {
    match error {
        ConfigError::Unknown { .. } | ConfigError::Value { .. } => Failure::misused(&error),
        _ => error.into(),
    }
}
