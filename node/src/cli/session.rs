//! Who does the work of a command: the node behind `--api`, whoever holds the repository, or this process.
//!
//! Whoever opens the repository holds its lock and serves its socket; a second command finds that and goes through it. A
//! command that holds it stays until its guests are done, or hands it over to a daemon that starts and goes on as its guest. A
//! socket that nobody serves counts as none.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::arguments::Global;
use super::call::Call;
use super::client::Client;
use super::endpoint::authorization;
use super::failure::{Failure, Outcome};
use super::output::Output;
use super::progress::Progress;
use super::standard_input::StandardInput;
use super::warn;
use crate::api::{self, Server};
use crate::config::Config;
use crate::node::{Node, Role, Settings};
use crate::repository::{Opening, Repository, socket_path};

/// A command at work.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) output: Output,
    pub(super) input: StandardInput,
    pub(super) global: Global,
    place: Place,
}

/// What a command has, whoever does its work.
pub(super) struct Carried {
    pub(super) output: Output,
    pub(super) input: StandardInput,
}

/// Whom a command can do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A node that runs already.
    Daemon,
    /// Any node; where there is none, one of our own for as long as the command takes.
    Node,
    /// The same, and others come to it.
    Sender,
}

enum Place {
    /// Somewhere else.
    Elsewhere,
    /// With another process that holds the repository.
    Guest { socket: PathBuf, is_daemon: bool },
    /// Here.
    Ours { node: Node, server: Option<Server> },
}

impl Session {
    /// Finds or starts who does the work.
    ///
    /// Fails with code 2 when flags for a node of our own are given and another one does the work.
    pub(super) async fn open(global: Global, carried: Carried, need: Need) -> Outcome<Self> {
        if let Some(endpoint) = global.api()? {
            global.refuse_node_flags("the node that --api or CIDRA_API names")?;
            let header = global.api_token().map(|token| authorization(&token)).transpose().map_err(Failure::usage)?;
            let client = Client::tcp(endpoint, header);
            return Ok(Self::new(client, carried, global, Place::Elsewhere));
        }
        let path = global.repository()?;
        let deadline = Instant::now() + CHANGE_OF_HOLDER;
        loop {
            if let Some((client, is_daemon)) = find_holder(&path).await? {
                let who =
                    if is_daemon { "the daemon of this repository" } else { "another command on this repository" };
                global.refuse_node_flags(who)?;
                let place = Place::Guest { socket: socket_path(&path), is_daemon };
                return Ok(Self::new(client, carried, global, place));
            }
            if need == Need::Daemon {
                return Err(Failure::failed(format!(
                    "no daemon runs on {}: start one with `cidra daemon`",
                    path.display()
                )));
            }
            match Repository::open(&path)? {
                Opening::Held(repository) => {
                    let role = if need == Need::Sender { Role::Sender } else { Role::Command };
                    return Self::hold(repository, global, carried, role).await;
                }
                Opening::Busy if Instant::now() < deadline => sleep(LOOK_EVERY).await,
                Opening::Busy => return Err(unresponsive(&path)),
            }
        }
    }

    async fn hold(repository: Repository, global: Global, carried: Carried, role: Role) -> Outcome<Self> {
        let socket = socket_path(repository.path());
        let node = Node::open(repository, settings(&global, role)?)?;
        let server = match api::serve_socket(node.clone(), &socket).await {
            Ok(server) => Some(server),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "other commands wait until this one is done");
                None
            }
        };
        let client = Client::in_process(api::router(node.clone()));
        Ok(Self::new(client, carried, global, Place::Ours { node, server }))
    }

    fn new(client: Client, carried: Carried, global: Global, place: Place) -> Self {
        Self { client, output: carried.output, input: carried.input, global, place }
    }

    /// Whether another process on this machine does the work.
    pub(super) fn is_guest(&self) -> bool {
        matches!(self.place, Place::Guest { .. })
    }

    /// Whether this process does the work itself.
    pub(super) fn is_host(&self) -> bool {
        matches!(self.place, Place::Ours { .. })
    }

    /// Whether the work is done on another machine, perhaps.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.place, Place::Elsewhere)
    }

    /// What the command has for beginning anew with somebody else.
    pub(super) fn leave(self) -> Carried {
        let Self { mut output, input, .. } = self;
        output.rewind();
        Carried { output, input }
    }

    /// Gives the repository back, once no other command uses it through this one.
    pub(super) async fn close(self) -> Outcome {
        drop(self.client);
        let Place::Ours { node, server } = self.place else { return Ok(()) };
        if let Some(server) = server {
            server.until_idle().await;
        }
        Ok(node.close().await?)
    }

    /// As [`close`](Self::close), when Ctrl-C ended the command. Its guests may go on, until the next Ctrl-C.
    pub(super) async fn abandon(self, again: impl Future<Output = ()>) -> Outcome {
        let is_host = matches!(&self.place, Place::Ours { server: Some(server), .. } if server.connections() > 0);
        if is_host {
            warn("another command uses the repository through this one: waiting for it; Ctrl-C again ends it, too");
        }
        let closing = self.close();
        tokio::select! {
            closed = closing => closed,
            () = again => Ok(()),
        }
    }

    /// Whether what is added here is served to others from now on.
    pub(super) async fn is_served(&self) -> bool {
        match &self.place {
            Place::Elsewhere => true,
            Place::Guest { is_daemon, .. } => *is_daemon,
            Place::Ours { node, .. } => node.is_guest().await,
        }
    }

    /// The socket of the process that does the work, where it has one.
    pub(super) fn socket(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Guest { socket, .. } => Some(socket.clone()),
            _ => None,
        }
    }

    /// Makes a call, and writes the bytes of its answer to standard output as they come.
    pub(super) async fn pour(&mut self, call: Call, mut progress: Progress) -> Outcome {
        let mut answer = progress.watch(self.client.send(call)).await?;
        while let Some(bytes) = progress.watch(answer.bytes()).await? {
            progress.before_output();
            self.output.bytes(&bytes)?;
            progress.advance(bytes.len() as u64);
        }
        self.output.flush()
    }

    /// Whether a person watches standard error.
    pub(super) fn shows_progress(&self) -> bool {
        self.global.progress && std::io::stderr().is_terminal()
    }
}

/// How long somebody may take to begin or to end holding a repository: opening a large one takes a second.
const CHANGE_OF_HOLDER: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whoever serves the socket of the repository, and whether it is a daemon.
pub(super) async fn find_holder(repository: &Path) -> Outcome<Option<(Client, bool)>> {
    let Ok(mut client) = Client::socket(&socket_path(repository)).await else { return Ok(None) };
    // One that is about to end may close the connection: then there is none.
    let greeted = client.greet(Call::new("cidra/health")).await?;
    Ok(greeted.map(|is_daemon| (client, is_daemon)))
}

/// What a node of our own is to be: the configuration, the environment and the flags.
pub(super) fn settings(global: &Global, role: Role) -> Outcome<Settings> {
    let path = global.repository()?;
    let config = Config::load(&crate::repository::config_path(&path))?;
    let flags = global.node_flags()?;
    Ok(Settings {
        config,
        role,
        offline: global.offline,
        bootstrap: flags.bootstrap_list(),
        listen: Some(flags.listen).filter(|addresses| !addresses.is_empty()),
        swarm_key: flags.swarm_key,
        mdns: flags.no_mdns.then_some(false),
        ..Settings::default()
    })
}

fn unresponsive(path: &Path) -> Failure {
    let what = format!("another process holds the repository {} and does not answer", path.display());
    Failure::failed(format!("{what}: end it, or name another repository with --repo"))
}
