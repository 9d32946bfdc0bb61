//! `key/…`: the keys of names.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use cid::multibase::Base;
use cidra_content::ipns::Name;
use libp2p::identity::KeyType;
use serde_json::{Value, json};

use super::answer::{Answer, Failure, Shape, one, stream};
use super::call::{Call, Piped, multibase};
use super::upload::Upload;
use crate::keys::{Key, KeyError, KeyKind, Secret, SecretError};
use crate::node::Node;

pub(super) async fn generate(State(node): State<Node>, call: Call) -> Answer {
    let form = NameForm::of(&call)?;
    let label = call.argument("name")?;
    let size = call.number::<u32>("size")?.unwrap_or(DEFAULT_BITS);
    let kind = match call.text("type")?.unwrap_or("ed25519") {
        "ed25519" => KeyKind::Ed25519,
        "rsa" => KeyKind::Rsa(size),
        "secp256k1" => KeyKind::Secp256k1,
        other => {
            return Err(Failure::usage(format!("unrecognized key type: {other}; known are ed25519, rsa, secp256k1")));
        }
    };
    let secret = match kind {
        // Finding the primes of a large key takes its time.
        KeyKind::Rsa(_) => tokio::task::block_in_place(|| Secret::generate(kind)),
        kind => Secret::generate(kind),
    };
    Ok(one(&form.key(&node.keys().add(label, &secret.map_err(of_secret)?).map_err(of_key)?)))
}

/// Of an RSA key, where nobody says.
const DEFAULT_BITS: u32 = 2048;

pub(super) async fn list(State(node): State<Node>, call: Call) -> Answer {
    let form = NameForm::of(&call)?;
    Ok(one(&form.keys(&node.keys().list().map_err(of_key)?)))
}

pub(super) async fn remove(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let form = NameForm::of(&call)?;
    let labels = call.arguments("name")?;
    let removed = labels.iter().map(|label| node.keys().remove(label)).collect::<Result<Vec<_>, _>>();
    Ok(one(&form.keys(&removed.map_err(of_key)?)))
}

pub(super) async fn rename(State(node): State<Node>, call: Call) -> Answer {
    let form = NameForm::of(&call)?;
    let [from, to] = call.arguments("name")? else { return Err(Failure::usage("two names are expected")) };
    let renamed = node.keys().rename(from, to, call.is("force")?).map_err(of_key)?;
    let id = form.text(&renamed.key.name());
    Ok(one(&json!({"Was": from, "Now": to, "Id": id, "Overwrite": renamed.overwritten})))
}

pub(super) async fn import(State(node): State<Node>, headers: HeaderMap, call: Call, body: Body) -> Answer {
    let form = NameForm::of(&call)?;
    let label = call.argument("name")?;
    let format = Format::of(&call)?;
    let mut upload = Upload::new(&headers, body)?;
    let too_long = || of_secret(SecretError::TooLong);
    let Some(bytes) = upload.next_whole(MAX_FILE, too_long).await? else {
        return Err(Failure::usage("argument \"key\" is required"));
    };
    let secret = match format {
        Format::Protobuf => Secret::from_protobuf(&bytes),
        Format::Pem => Secret::from_pem(&String::from_utf8_lossy(&bytes)),
    };
    let secret = secret.map_err(of_secret)?;
    let is_usual = matches!(secret.key_type(), KeyType::Ed25519 | KeyType::RSA | KeyType::Secp256k1);
    if !is_usual && !call.is("allow-any-key-type")? {
        let kind = secret.key_type();
        let why = format!(
            "a key of type {kind:?} is not imported, only RSA, Ed25519 and secp256k1; --allow-any-key-type takes it"
        );
        return Err(Failure::failed(why));
    }
    Ok(one(&form.key(&node.keys().add(label, &secret).map_err(of_key)?)))
}

/// The most bytes of a file with a key.
const MAX_FILE: usize = 64 * 1024;

/// A private key, for callers on this machine alone.
pub(super) async fn export(State(node): State<Node>, call: Call) -> Answer {
    let secret = node.keys().secret(call.argument("name")?).map_err(of_key)?;
    let bytes = match Format::of(&call)? {
        Format::Protobuf => secret.to_protobuf().to_vec(),
        Format::Pem => secret.to_pem().map_err(of_secret)?.into_bytes(),
    };
    stream(&call, Shape::bytes("application/octet-stream", Some(bytes.len() as u64)), |output| async move {
        output.bytes(bytes.into()).await;
        Ok(())
    })
    .await
}

/// How a private key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Pem,
}

impl Format {
    fn of(call: &Call) -> Result<Self, Failure> {
        match call.text("format")?.unwrap_or("libp2p-protobuf-cleartext") {
            "libp2p-protobuf-cleartext" => Ok(Self::Protobuf),
            "pem-pkcs8-cleartext" => Ok(Self::Pem),
            other => Err(Failure::usage(format!(
                "unrecognized format: {other}; known are libp2p-protobuf-cleartext and pem-pkcs8-cleartext"
            ))),
        }
    }
}

/// How names are written in the answer: `ipns-base`.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameForm(Option<Base>);

impl NameForm {
    pub(super) fn of(call: &Call) -> Result<Self, Failure> {
        match call.text("ipns-base")?.unwrap_or("base36") {
            "b58mh" => Ok(Self(None)),
            "k" => Ok(Self(Some(Base::Base36Lower))),
            name => match multibase(name) {
                Some(base) => Ok(Self(Some(base))),
                None => Err(Failure::usage(format!("option ipns-base: {name:?} is neither b58mh nor a multibase"))),
            },
        }
    }

    pub(super) fn text(self, name: &Name) -> String {
        match self.0 {
            None => name.peer_id(),
            Some(base) => name.in_base(base),
        }
    }

    fn key(self, key: &Key) -> Value {
        json!({"Name": key.label, "Id": self.text(&key.name())})
    }

    fn keys(self, keys: &[Key]) -> Value {
        json!({"Keys": keys.iter().map(|key| self.key(key)).collect::<Vec<_>>()})
    }
}

pub(super) fn of_key(error: KeyError) -> Failure {
    match error {
        KeyError::Label { .. } | KeyError::Own => Failure::misused(&error),
        error => error.into(),
    }
}

fn of_secret(error: SecretError) -> Failure {
    match error {
        SecretError::Failed => error.into(),
        error => Failure::misused(&error),
    }
}
