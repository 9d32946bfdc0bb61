//! `cidra version`. It opens no repository and starts nothing, so that it answers at once.

use clap::Args;
use serde_json::json;

use super::failure::Outcome;
use super::output::Output;

/// Print the version
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra version")]
pub(super) struct Arguments {
    /// Only the number
    #[arg(short, long)]
    number: bool,
    /// Also what it was built for
    #[arg(long)]
    all: bool,
}

pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Outcome {
    let system = format!("{}/{}", std::env::consts::ARCH, std::env::consts::OS);
    if output.is_json() {
        output.object(&json!({"Version": VERSION, "RpcVersion": crate::api::RPC_VERSION, "System": system}))?;
    } else if arguments.number {
        output.line(VERSION)?;
    } else {
        output.line(format_args!("cidra {VERSION}"))?;
        if arguments.all {
            output.line(format_args!("RPC of Kubo {}", crate::api::RPC_VERSION))?;
            output.line(format_args!("System {system}"))?;
        }
    }
    output.flush()
}

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
