//! `cidra id`: who this node, or another one, is.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::answer::parse;
use super::call::Call;
use super::content_argument::{Peer, with_patience};
use super::failure::{Failure, Outcome};
use super::progress::Progress;
use super::session::Session;

/// Print the identity of this node, or of a peer
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra id\n  cidra id -f '<id>'")]
pub(super) struct Arguments {
    /// A peer, asked over the network
    #[arg(value_name = "PEER")]
    peer: Option<Peer>,
    /// What to print.
    #[arg(short, long, help = "Print this, with <id>, <aver>, <pubkey>, <addrs> and <protocols> filled in")]
    format: Option<String>,
}

/// As the RPC gives it. The order is that of the printed fields.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    public_key: String,
    #[serde(default)]
    addresses: Option<Vec<String>>,
    #[serde(default)]
    agent_version: String,
    #[serde(default)]
    protocols: Option<Vec<String>>,
    /// Of this node, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reachability: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reach: Option<String>,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), "asking the peer");
    let call = Call::new("id").maybe("arg", arguments.peer.map(|peer| peer.0));
    let answer = progress.watch(session.client.send(with_patience(call, &session.global))).await?;
    let line = progress.watch(answer.only_line()).await?;
    drop(progress);
    if session.output.is_json() {
        session.output.raw_line(&line)?;
        return session.output.flush();
    }
    let identity: Identity = parse(&line)?;
    match arguments.format {
        Some(format) => session.output.bytes(fill(&format, &identity).as_bytes())?,
        None => {
            let mut text = Vec::new();
            let mut writer =
                serde_json::Serializer::with_formatter(&mut text, serde_json::ser::PrettyFormatter::with_indent(b"\t"));
            identity.serialize(&mut writer).map_err(|error| Failure::because("cannot write JSON", &error))?;
            session.output.line(String::from_utf8_lossy(&text))?;
        }
    }
    session.output.flush()
}

/// Fills in a format as Kubo does, its `\n` and `\t` included.
fn fill(format: &str, identity: &Identity) -> String {
    let lines = |list: &Option<Vec<String>>| list.as_deref().unwrap_or_default().join("\n");
    format
        .replace("<id>", &identity.id)
        .replace("<aver>", &identity.agent_version)
        .replace("<pubkey>", &identity.public_key)
        .replace("<addrs>", &lines(&identity.addresses))
        .replace("<protocols>", &lines(&identity.protocols))
        .replace("\\n", "\n")
        .replace("\\t", "\t")
}
