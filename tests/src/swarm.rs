//! Holders of one file and those who get it, each on a host of its own with an uplink of a given rate.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::{Call, Daemon, Lan, Repository, Running, sample};

/// The file, who has it, and the hosts of those who will get it.
pub struct Swarm {
    // Dropped before the folders that they work in, and those before the network.
    holders: Vec<Option<Daemon>>,
    _repositories: Vec<Repository>,
    addresses: Vec<String>,
    /// The file as it was added.
    pub file: PathBuf,
    /// Its root.
    pub cid: String,
    /// The network; holders come first.
    pub lan: Lan,
}

/// 100 Mbit/s, in bytes a second.
pub const UPLINK: u64 = 12_500_000;

/// Longer than any fetch.
pub const LIMIT: Duration = Duration::from_secs(300);

impl Swarm {
    /// So many holders of a file of `size` bytes, and as many more hosts; `None`, and a line that says so, where that cannot be. Every
    /// uplink has [`UPLINK`].
    pub fn of(holders: usize, others: usize, size: u64) -> Option<Swarm> {
        let lan = Lan::of(holders + others)?;
        if !(0..holders + others).all(|host| lan.limit_uplink(host, UPLINK)) {
            return None;
        }
        let repositories: Vec<Repository> = (0..holders).map(|_| Repository::new()).collect();
        let file = repositories[0].file("film");
        sample::file(&file, size, 1);
        let mut swarm =
            Swarm { lan, file, cid: String::new(), addresses: vec![], holders: vec![], _repositories: vec![] };
        for (number, repository) in repositories.iter().enumerate() {
            swarm.cid = repository.add(&swarm.file);
            let daemon = swarm.daemon(number, repository, &[]);
            let address = format!("/ip4/{}/tcp/4001/p2p/{}", swarm.lan.host(number).address, daemon.peer());
            swarm.addresses.push(address);
            swarm.holders.push(Some(daemon));
        }
        swarm._repositories = repositories;
        Some(swarm)
    }

    /// A daemon on a host.
    pub fn daemon(&self, number: usize, repository: &Repository, bootstrap: &[&str]) -> Daemon {
        let call = repository.daemon_call(bootstrap, &["--listen", "/ip4/0.0.0.0/tcp/4001"]);
        Daemon::start(call.on(self.lan.host(number)), "Daemon is ready")
    }

    /// Where the others reach a holder.
    pub fn address(&self, holder: usize) -> String {
        self.addresses[holder].clone()
    }

    /// A holder to which nothing has happened.
    pub fn holder(&self, number: usize) -> &Daemon {
        self.holders[number].as_ref().expect("nothing has happened to it")
    }

    /// `cidra get` on a host, by a repository that no daemon has, from all holders.
    pub fn get(&self, number: usize, repository: &Repository) -> Call {
        let call = repository.cidra(["get", &self.cid, "-o", "film", "--bootstrap", "none", "--no-mdns"]);
        call.args(self.addresses.iter().flat_map(|address| ["--peer", address])).limit(LIMIT).on(self.lan.host(number))
    }

    /// A holder that something is to happen to.
    pub fn take(&mut self, holder: usize) -> Daemon {
        self.holders[holder].take().expect("nothing has happened to it")
    }

    /// How long until all of the hosts behind the holders have it, who know the first holder only and begin at once.
    pub fn crowd(&self) -> Duration {
        let hosts = self.addresses.len()..self.lan.len();
        let repositories: Vec<Repository> = hosts.clone().map(|_| Repository::new()).collect();
        let origin = [&self.addresses[0][..]];
        let nodes = hosts.zip(&repositories);
        let daemons: Vec<Daemon> = nodes.map(|(host, repository)| self.daemon(host, repository, &origin)).collect();
        let began = Instant::now();
        let get = |repository: &Repository| repository.cidra(["get", &self.cid, "-o", "film"]).limit(LIMIT).start();
        let getters: Vec<Running> = repositories.iter().map(get).collect();
        getters.into_iter().for_each(|getter| drop(getter.finish().success()));
        let took = began.elapsed();
        for repository in &repositories {
            sample::assert_same(&self.file, &repository.file("film"));
        }
        drop(daemons);
        took
    }
}
