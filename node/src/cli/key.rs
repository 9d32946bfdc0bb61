//! `cidra key`: the keys of names.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::answer::parse;
use super::call::Call;
use super::failure::{Failure, Outcome};
use super::output::printable;
use super::session::Session;
use super::standard_input::StandardInput;
use crate::repository::write_atomically;

/// Make and keep the keys of names
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra key gen website\n  cidra name publish --key=website CID")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    Gen(Generate),
    #[command(alias = "ls")]
    List(List),
    Rm(Remove),
    Rename(Rename),
    Export(Export),
    Import(Import),
}

/// Make a key and print its name
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra key gen website")]
struct Generate {
    /// What to call it on this node
    name: String,
    /// What kind of key: ed25519, rsa, secp256k1
    #[arg(short, long = "type", default_value = "ed25519", value_name = "TYPE")]
    kind: String,
    /// How many bits an RSA key has
    #[arg(short, long, value_name = "BITS")]
    size: Option<u32>,
    #[command(flatten)]
    base: NameBase,
}

/// List the keys
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra key list -l")]
struct List {
    /// With their names for everybody
    #[arg(short)]
    long: bool,
    #[command(flatten)]
    base: NameBase,
}

/// Forget keys for good
#[derive(Args, Clone)]
#[command(
    after_help = "Example:\n  cidra key rm website\n\nWho has no copy of a key (cidra key export) can never change its name again."
)]
struct Remove {
    /// What they are called on this node
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Print their names for everybody, too
    #[arg(short)]
    long: bool,
    #[command(flatten)]
    base: NameBase,
}

/// Call a key something else on this node
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra key rename website old-website")]
struct Rename {
    /// What it is called
    name: String,
    /// What it is to be called
    new_name: String,
    /// Even if that is the name of another key, which is lost
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    base: NameBase,
}

/// Write a private key to a file, for keeping it safe or using it elsewhere
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra key export website -o website.key")]
struct Export {
    /// What it is called on this node
    name: String,
    /// The file; `-` is standard output. Without it, the key's name with .key or .pem, in this folder
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// libp2p-protobuf-cleartext or pem-pkcs8-cleartext
    #[arg(short, long, default_value = "libp2p-protobuf-cleartext", value_name = "FORMAT")]
    format: String,
}

/// Keep a key that was made elsewhere and print its name
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra key import website website.key")]
struct Import {
    /// What to call it on this node
    name: String,
    /// The file; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// libp2p-protobuf-cleartext or pem-pkcs8-cleartext
    #[arg(short, long, default_value = "libp2p-protobuf-cleartext", value_name = "FORMAT")]
    format: String,
    /// Whatever kind of key it is
    #[arg(long)]
    allow_any_key_type: bool,
    #[command(flatten)]
    base: NameBase,
}

/// How names are written.
#[derive(Args, Clone, Debug)]
pub(super) struct NameBase {
    /// How to write names: base36, base32 or another base of CIDs, or b58mh for a peer id
    #[arg(long, default_value = "base36", value_name = "BASE")]
    ipns_base: String,
}

impl NameBase {
    pub(super) fn into_call(self, call: Call) -> Call {
        call.option("ipns-base", self.ipns_base)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    name: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Renamed {
    now: String,
    id: String,
    overwrite: bool,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    match arguments.command {
        Command::Gen(Generate { name, kind, size, base }) => {
            let call = Call::new("key/gen").argument(name).option("type", kind).maybe("size", size);
            let line = ask(base.into_call(call), session).await?;
            made(&line, session)?;
        }
        Command::List(List { long, base }) => {
            let line = ask(base.into_call(Call::new("key/list")), session).await?;
            list(&line, long, session)?;
        }
        Command::Rm(Remove { names, long, base }) => {
            let line = ask(base.into_call(Call::new("key/rm").arguments(names)), session).await?;
            list(&line, long, session)?;
        }
        Command::Rename(Rename { name, new_name, force, base }) => {
            let call = Call::new("key/rename").argument(name).argument(new_name).flag("force", force);
            let line = ask(base.into_call(call), session).await?;
            match session.output.is_json() {
                true => session.output.raw_line(&line)?,
                false => {
                    let Renamed { now, id, overwrite } = parse(&line)?;
                    let how = if overwrite { " with overwriting" } else { "" };
                    session.output.line(format_args!("Key {id} renamed to {}{how}", printable(&now)))?;
                }
            }
        }
        Command::Export(arguments) => export(arguments, session).await?,
        Command::Import(Import { name, file, format, allow_any_key_type, base }) => {
            let bytes = read(&file, &mut session.input)?;
            let call = Call::new("key/import").argument(name).option("format", format);
            let call = call.flag("allow-any-key-type", allow_any_key_type).files(&[bytes]);
            let line = ask(base.into_call(call), session).await?;
            made(&line, session)?;
        }
    }
    session.output.flush()
}

async fn ask(call: Call, session: &mut Session) -> Outcome<Bytes> {
    session.client.send(call).await?.only_line().await
}

fn made(line: &[u8], session: &mut Session) -> Outcome {
    match session.output.is_json() {
        true => session.output.raw_line(line),
        false => session.output.line(parse::<Key>(line)?.id),
    }
}

fn list(line: &[u8], long: bool, session: &mut Session) -> Outcome {
    if session.output.is_json() {
        return session.output.raw_line(line);
    }
    let keys = parse::<Keys>(line)?.keys;
    let width = keys.iter().map(|key| key.id.len()).max().unwrap_or_default();
    for Key { name, id } in keys {
        match long {
            true => session.output.line(format_args!("{id:width$} {} ", printable(&name)))?,
            false => session.output.line(printable(&name))?,
        }
    }
    Ok(())
}

/// A private key is not long; who gives another file is told so by the node.
const MAX_FILE: u64 = 64 * 1024;

pub(super) fn read(file: &Path, input: &mut StandardInput) -> Outcome<Bytes> {
    if file.as_os_str() == "-" {
        return input.whole(MAX_FILE);
    }
    let cannot = |error| Failure::because(format!("cannot read {}", file.display()), &error);
    let length = std::fs::metadata(file).map_err(cannot)?.len();
    if length > MAX_FILE {
        return Err(Failure::usage(format!("{} has {length} bytes: the limit is {MAX_FILE}", file.display())));
    }
    std::fs::read(file).map(Bytes::from).map_err(cannot)
}

async fn export(arguments: Export, session: &mut Session) -> Outcome {
    let Export { name, output, format } = arguments;
    let extension = if format.starts_with("pem") { "pem" } else { "key" };
    let call = Call::new("cidra/key/export").argument(&name).option("format", format);
    let mut answer = session.client.send(call).await?;
    let mut bytes = vec![];
    while let Some(piece) = answer.bytes().await? {
        bytes.extend_from_slice(&piece);
    }
    let file = output.unwrap_or_else(|| PathBuf::from(format!("{name}.{extension}")));
    if file.as_os_str() == "-" {
        if session.output.is_json() {
            return Err(Failure::usage("a private key is no JSON: leave out --json, or name a file with -o"));
        }
        return session.output.bytes(&bytes);
    }
    write(&file, &bytes).map_err(|error| Failure::because(format!("cannot write {}", file.display()), &error))?;
    match session.output.is_json() {
        true => session.output.event(&json!({"Event": "Exported", "Name": name, "Path": file})),
        false => Ok(()),
    }
}

/// A file is written as a whole and for its owner's eyes; what is none (a pipe, a terminal) is written as it is.
fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if file.exists() && !file.is_file() {
        return OpenOptions::new().write(true).open(file)?.write_all(bytes);
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    write_atomically(&folder.join(file.file_name().unwrap_or_default()), bytes, 0o600)
}
