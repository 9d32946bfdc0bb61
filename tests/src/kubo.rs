//! A Kubo that runs beside the program under test, so that both can be asked the same.
//!
//! It is not ours to bring: `CIDRA_KUBO` names the program, else it is looked for in `PATH`, and without it there is none.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};

use tempfile::TempDir;

use crate::program::LIMIT;
use crate::{Call, Finished, Host, Program, Running};

/// The version whose behaviour we follow.
pub const VERSION: &str = "0.43.0";

/// A daemon of Kubo with a repository of its own, offline, on free ports of this host. Dropped, it is killed with -9.
pub struct Kubo {
    folder: TempDir,
    host: Option<Host>,
    daemon: Option<Running>,
}

impl Kubo {
    /// Starts one whose configuration has this profile applied, if it is given. Without a Kubo it prints what is skipped.
    pub fn start(profile: Option<&str>) -> Option<Kubo> {
        let profiles = ["test"].into_iter().chain(profile).collect::<Vec<_>>().join(",");
        let mut kubo = Kubo::new(&profiles, &[("Addresses.Swarm", "[]")])?;
        kubo.run(&["--offline"]);
        Some(kubo)
    }

    /// Starts one that can be connected to on this host, by this transport alone, and that looks for nobody.
    pub fn online(transport: Transport) -> Option<Kubo> {
        let (address, security) = match transport {
            Transport::Noise => ("/ip4/127.0.0.1/tcp/0", ("Swarm.Transports.Security.TLS", "false")),
            Transport::Quic => ("/ip4/127.0.0.1/udp/0/quic-v1", ("Swarm.Transports.Network.TCP", "false")),
            Transport::Tls => ("/ip4/127.0.0.1/tcp/0", ("Swarm.Transports.Security.Noise", "false")),
        };
        let listen = format!("[\"{address}\"]");
        let alone = [("Bootstrap", "[]"), ("Discovery.MDNS.Enabled", "false"), ("Routing.Type", "\"dht\"")];
        let settings = [&[("Addresses.Swarm", &*listen), security][..], &alone].concat();
        let mut kubo = Kubo::new("test", &settings)?;
        kubo.run(&[]);
        Some(kubo)
    }

    /// Starts a server of the DHT on a host of its own, which knows these.
    pub fn server(host: &Host, bootstrap: &[String]) -> Option<Kubo> {
        Kubo::on(host, bootstrap, None)
    }

    /// The same in the private network of this key.
    pub fn private(host: &Host, bootstrap: &[String], key: &str) -> Option<Kubo> {
        Kubo::on(host, bootstrap, Some(key))
    }

    fn on(host: &Host, bootstrap: &[String], key: Option<&str>) -> Option<Kubo> {
        let known = serde_json::to_string(bootstrap).expect("texts have a JSON form");
        let settings = [
            ("Addresses.Swarm", "[\"/ip4/0.0.0.0/tcp/4001\"]"),
            ("Bootstrap", &known),
            ("Discovery.MDNS.Enabled", "false"),
            ("Routing.Type", "\"dhtserver\""),
        ];
        // What belongs to the public network is refused in a private one.
        let apart = [
            ("AutoConf.Enabled", "false"),
            ("AutoTLS.Enabled", "false"),
            ("DNS.Resolvers", "{}"),
            ("Ipns.DelegatedPublishers", "[]"),
            ("Routing.DelegatedRouters", "[]"),
        ];
        let settings = if key.is_some() { [&settings[..], &apart].concat() } else { settings.to_vec() };
        let mut kubo = Kubo::new("test", &settings)?;
        if let Some(key) = key {
            fs::write(kubo.folder.path().join("repo/swarm.key"), key).expect("made by init");
        }
        kubo.host = Some(host.clone());
        kubo.run(&[]);
        Some(kubo)
    }

    /// Its name in the network.
    pub fn peer(&self) -> String {
        self.ipfs(["id", "-f", "<id>"]).run().success().text().to_owned()
    }

    fn new(profiles: &str, settings: &[(&str, &str)]) -> Option<Kubo> {
        if let Err(reason) = program() {
            println!("skipped: {reason}");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("kubo-").tempdir().expect("a temporary folder");
        let kubo = Kubo { folder, host: None, daemon: None };
        kubo.ipfs(["init", "--empty-repo", "--profile", profiles]).run().success();
        for (key, value) in [&[("Swarm.DisableNatPortMap", "true")], settings].concat() {
            kubo.ipfs(["config", "--json", key, value]).run().success();
        }
        // It is asked, not relied on: a sync for each of its blocks is most of what a test would wait for.
        let config = kubo.folder.path().join("repo/config");
        let text = fs::read_to_string(&config).expect("made by init");
        fs::write(&config, text.replace("\"sync\": true", "\"sync\": false")).expect("the test's own file");
        Some(kubo)
    }

    fn run(&mut self, flags: &[&str]) {
        let mut daemon = self.ipfs(["daemon"]).args(flags).limit(LIFE).start();
        daemon.wait_for_line(LIMIT, |line| line == "Daemon is ready");
        self.daemon = Some(daemon);
    }

    /// Its address on this host, with its peer id.
    pub fn address(&self) -> String {
        let addresses = self.ipfs(["id", "-f", "<addrs>"]).run().success();
        let first = addresses.lines().into_iter().find(|address| address.starts_with("/ip4/127.0.0.1/"));
        first.expect("it was told to listen there").to_owned()
    }

    /// `ipfs` with these arguments; once the daemon runs, it is the daemon that does it.
    pub fn ipfs<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Call {
        let call = Call::new(Program::Kubo)
            .env("IPFS_PATH", self.folder.path().join("repo"))
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path())
            .args(arguments);
        match &self.host {
            Some(host) => call.on(host),
            None => call,
        }
    }

    /// Where it serves its RPC, as `HOST:PORT`.
    pub fn api(&self) -> String {
        let address = fs::read_to_string(self.folder.path().join("repo/api")).expect("a daemon writes it");
        let parts: Vec<&str> = address.trim().split('/').collect();
        format!("{}:{}", parts[2], parts[4])
    }

    /// A path for a file of the test, outside its repository.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The root CID of a path, added with these flags.
    pub fn add(&self, flags: &[&str], path: &Path) -> String {
        self.ipfs(["add", "-Q", "-r"]).args(flags).arg("--").arg(path).run().success().text().to_owned()
    }

    /// Stops it. Panics unless it ends well.
    pub fn stop(mut self) -> Finished {
        let daemon = self.daemon.take().expect("started in `start`");
        daemon.terminate();
        daemon.finish().success()
    }
}

/// What a connection to it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, with Noise.
    Noise,
    /// QUIC.
    Quic,
    /// TCP, with TLS.
    Tls,
}

/// Longer than any suite.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// The program, looked for once; an error says why there is none.
pub fn program() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(look).clone()
}

fn look() -> Result<PathBuf, String> {
    let path = match env::var_os("CIDRA_KUBO").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join("ipfs"))
            .find(|path| path.is_file())
            .ok_or("no Kubo is installed (CIDRA_KUBO or `ipfs` in PATH)")?,
    };
    let path = fs::canonicalize(&path).map_err(|error| format!("no Kubo at {}: {error}", path.display()))?;
    let answer = Command::new(&path).args(["version", "--number"]).env("IPFS_PATH", "/nonexistent").output();
    let version = answer.map_err(|error| format!("{} does not run: {error}", path.display()))?.stdout;
    match String::from_utf8_lossy(&version).trim() {
        VERSION => Ok(path),
        other => Err(format!("{} is Kubo {other}, compared with is {VERSION}", path.display())),
    }
}
