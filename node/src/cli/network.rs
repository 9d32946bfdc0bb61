//! `cidra network new`: the key of a private network. It opens no repository and speaks to nobody.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::failure::{Failure, Outcome};
use super::output::Output;
use crate::node::SwarmKey;

/// Make private networks
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra network new > swarm.key")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    New(New),
}

/// Print a fresh key; nodes that have it meet each other and nobody else
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra network new -o \"$(cidra repo path)/swarm.key\"\n\n\
    Copy the file to the repository of each node, as swarm.key, or name it with --swarm-key.")]
struct New {
    /// Write it to this file, which only its owner may read and which must not be there
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Outcome {
    let Command::New(New { output: file }) = &arguments.command;
    let key = SwarmKey::generate().to_string();
    match file {
        Some(file) => return write(file, &key),
        None if output.is_json() => output.object(&json!({"Event": "SwarmKey", "Key": key}))?,
        None => output.bytes(key.as_bytes())?,
    }
    output.flush()
}

fn write(path: &Path, key: &str) -> Outcome {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| file.write_all(key.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::because(format!("cannot make {}", path.display()), &error))
}
