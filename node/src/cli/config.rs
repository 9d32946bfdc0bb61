//! `cidra config`: the settings of `config.toml`, read and changed with its comments kept.

use std::io::IsTerminal as _;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use super::answer::parse;
use super::call::Call;
use super::failure::{Failure, Outcome};
use super::output::json;
use super::session::Session;
use super::warn;
use crate::config::Token;

/// Read and change settings
#[derive(Args, Clone)]
#[command(arg_required_else_help = true)]
#[command(override_usage = "cidra config [OPTIONS] <KEY> [VALUE]\n       cidra config [OPTIONS] <COMMAND>")]
#[command(after_help = "Examples:\n  cidra config show\n  cidra config swarm.high_water 300\n  \
    cidra config add api.tokens --generate\n\nA value may be `-`: it is read from standard input. docs/CONFIG.md lists the keys.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Which setting
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// What it is to be; without, it is printed
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: Option<String>,
}

#[derive(Clone, Subcommand)]
enum Command {
    Show(Show),
    Get(Get),
    /// Change a setting
    #[command(after_help = "Example:\n  cidra config set swarm.high_water 300")]
    Set {
        /// Which
        #[arg(value_name = "KEY")]
        key: String,
        /// What it is to be; lists with commas
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
    },
    /// Take a setting out of the file, so that its default counts
    #[command(after_help = "Example:\n  cidra config unset swarm.high_water")]
    Unset {
        /// Which
        #[arg(value_name = "KEY")]
        key: String,
    },
    Add(Add),
    /// Take values off a list
    #[command(after_help = "Example:\n  cidra config rm api.hosts node1.example")]
    Rm {
        /// Which list
        #[arg(value_name = "KEY")]
        key: String,
        /// What to take off
        #[arg(required = true, value_name = "VALUE")]
        values: Vec<String>,
    },
}

/// List all settings
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra config show")]
struct Show {
    /// Tokens, too
    #[arg(long)]
    secrets: bool,
}

/// Print a setting, or those of a section
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra config get swarm.high_water\n  cidra config get api")]
struct Get {
    /// Which
    #[arg(value_name = "KEY")]
    key: String,
    /// Tokens, too
    #[arg(long)]
    secrets: bool,
}

/// Put values at the end of a list
#[derive(Args, Clone)]
#[command(
    after_help = "Examples:\n  cidra config add api.hosts node1.example\n  cidra config add api.tokens --generate"
)]
struct Add {
    /// Which list
    #[arg(value_name = "KEY")]
    key: String,
    /// What to add
    #[arg(required_unless_present = "generate", value_name = "VALUE")]
    values: Vec<String>,
    /// Add a fresh token, and print it
    #[arg(long, conflicts_with = "values")]
    generate: bool,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    match (arguments.command, arguments.key, arguments.value) {
        (Some(Command::Show(Show { secrets })), _, _) => show(secrets, session).await,
        (Some(Command::Get(arguments)), _, _) => get(arguments, session).await,
        (Some(Command::Set { key, value }), _, _) | (None, Some(key), Some(value)) => {
            change("set", key, vec![value], session).await
        }
        (Some(Command::Unset { key }), _, _) => {
            let call = Call::new("cidra/config/unset").argument(key);
            changed(call, session).await
        }
        (Some(Command::Add(Add { key, generate: true, .. })), _, _) => generate(key, session).await,
        (Some(Command::Add(Add { key, values, .. })), _, _) => change("add", key, values, session).await,
        (Some(Command::Rm { key, values }), _, _) => change("rm", key, values, session).await,
        (None, Some(key), None) => get(Get { key, secrets: false }, session).await,
        (None, None, _) => Err(Failure::usage("say which setting: `cidra config show` lists all")),
    }
}

async fn show(secrets: bool, session: &mut Session) -> Outcome {
    let call = Call::new("cidra/config/show").flag("secrets", secrets);
    let line = session.client.send(call).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
        return session.output.flush();
    }
    for (section, keys) in parse::<serde_json::Map<String, Value>>(&line)? {
        print_section(&section, &keys, session)?;
    }
    session.output.flush()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Setting {
    #[serde(default)]
    value: Value,
    #[serde(default)]
    effect: String,
}

async fn get(arguments: Get, session: &mut Session) -> Outcome {
    let call = Call::new("cidra/config/get").argument(&arguments.key).flag("secrets", arguments.secrets);
    let line = session.client.send(call).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
        return session.output.flush();
    }
    match parse::<Setting>(&line)?.value {
        section @ Value::Object(_) => print_section(&arguments.key, &section, session)?,
        Value::String(text) => session.output.line(text)?,
        value => session.output.line(json(&value)?)?,
    }
    session.output.flush()
}

/// Lines as they could stand at the head of the file.
fn print_section(section: &str, keys: &Value, session: &mut Session) -> Outcome {
    for (name, value) in keys.as_object().into_iter().flatten() {
        session.output.line(format_args!("{section}.{name} = {}", json(value)?))?;
    }
    Ok(())
}

async fn change(how: &str, key: String, values: Vec<String>, session: &mut Session) -> Outcome {
    let mut given = vec![key];
    for value in values {
        match value.as_str() {
            "-" => given.push(from_standard_input(session)?),
            _ => given.push(value),
        }
    }
    let many_lines = given.iter().any(|value| value.contains('\n'));
    if many_lines {
        return Err(Failure::usage("a value is one line"));
    }
    // In the body, where no log of calls has them.
    let call = Call::new(&format!("cidra/config/{how}")).files(&[given.join("\n").into()]);
    changed(call, session).await
}

async fn changed(call: Call, session: &mut Session) -> Outcome {
    let line = session.client.send(call).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
    }
    session.output.flush()?;
    tell_effect(&line)
}

fn tell_effect(line: &[u8]) -> Outcome {
    if parse::<Setting>(line)?.effect == "restart" {
        warn("this counts from the next start of the daemon: `cidra shutdown`, then `cidra daemon`");
    }
    Ok(())
}

async fn generate(key: String, session: &mut Session) -> Outcome {
    if key != "api.tokens" {
        return Err(Failure::usage(format!("--generate makes tokens, and {key} holds none: it is for api.tokens")));
    }
    let token = Token::generate();
    let body = format!("{key}\n{}", token.reveal());
    let line = session.client.send(Call::new("cidra/config/add").files(&[body.into()])).await?.only_line().await?;
    match session.output.is_json() {
        true => {
            let mut answer: Value = parse(&line)?;
            answer["Token"] = token.reveal().into();
            session.output.object(&answer)?;
        }
        false => session.output.line(token.reveal())?,
    }
    session.output.flush()?;
    tell_effect(&line)
}

fn from_standard_input(session: &mut Session) -> Outcome<String> {
    if std::io::stdin().is_terminal() {
        warn("type the value, then Ctrl-D");
    }
    let bytes = session.input.whole(LONGEST_VALUE)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned())
}

/// Bytes; a setting is a line.
const LONGEST_VALUE: u64 = 64 * 1024;
