//! `cidra-bootstrap`: introduces peers to one another. A DHT server that keeps provider records, checks addresses and relays
//! a little; it holds no content and answers no request for blocks.

mod arguments;
mod metrics;
mod status;

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cidra_node::identity;
use cidra_node::network::{Config, Network, Routing, SwarmKey};
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cidra-bootstrap: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let data = arguments.data()?;
    if let Some(Command::Health) = arguments.command {
        return status::ask(&data);
    }
    let filter = EnvFilter::try_from_env("CIDRA_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,cidra_bootstrap=info,cidra_node=info,libp2p_kad=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let result = runtime.block_on(serve(&arguments, &data));
    runtime.shutdown_background();
    result
}

/// One moves the bytes, one is there when the first is busy.
const WORKERS: usize = 2;

/// Runs until it is told to stop.
async fn serve(arguments: &Arguments, data: &Path) -> Result<()> {
    let mut stop = Stop::listen()?;
    make_folder(data).with_context(|| format!("cannot use {}", data.display()))?;
    let _lock = lock(data)?;
    let keypair = identity::load_or_make(&data.join("identity.key"))?;
    let peer = keypair.public().to_peer_id();
    let swarm_key = arguments.swarm_key().map(SwarmKey::load).transpose()?;
    let config = Config {
        listen: arguments.listen(),
        bootstrap: arguments.bootstrap(),
        routing: Routing::Server,
        swarm_key,
        relay_service: Some(arguments.relay_limits()),
        relay_client: false,
        low_water: LOW_WATER,
        high_water: HIGH_WATER,
        agent: concat!("cidra-bootstrap/", env!("CARGO_PKG_VERSION"), "/").to_owned(),
        ..Config::default()
    };
    let network = Network::start(config, keypair, &data.join("network"), None).await?;
    let _status = status::serve(data, network.clone())?;
    let _metrics = metrics::serve(arguments.metrics_listen.as_ref(), network.clone()).await?;
    for address in network.listen_addresses().await {
        say(&format!("Swarm listening on {address}/p2p/{peer}"));
    }
    say("Bootstrap is ready");
    stop.wait().await;
    network.shutdown().await;
    Ok(())
}

/// Idle connections are closed down to this many, once there are more than the high water mark.
const LOW_WATER: u32 = 400;
const HIGH_WATER: u32 = 600;

/// A line for whoever reads standard output; a closed pipe is no reason to stop introducing.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush()); // nobody reads
}

/// Only this user may look into it.
fn make_folder(data: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    if !data.exists() {
        fs::create_dir_all(data)?;
        fs::set_permissions(data, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Two processes with one identity would take each other's connections.
fn lock(data: &Path) -> Result<File> {
    let path = data.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot use {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another cidra-bootstrap uses {}: stop it, or name another folder with --data", data.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The signals that end it.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
