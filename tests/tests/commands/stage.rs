//! Where the rows of the table are played: a repository with something in it, who holds it, and a peer on the same host.

use std::fs;
use std::io::Write;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicUsize, Ordering};

use cidra_tests::{Call, Daemon, Finished, Repository, Running};

/// Who holds the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody: each command opens it for itself.
    Nobody,
    /// A daemon.
    Daemon,
    /// Another command, which waits for its input.
    Command,
}

/// A peer that has something that nobody else has.
pub(crate) struct Neighbour {
    daemon: Daemon,
    theirs: String,
    _repository: Repository,
}

impl Neighbour {
    pub(crate) fn new() -> Neighbour {
        let repository = Repository::new();
        fs::write(repository.file("theirs"), "only the neighbour has this").expect("the test's own folder");
        let theirs = repository.add(&repository.file("theirs"));
        Neighbour { daemon: repository.daemon(&[]), theirs, _repository: repository }
    }
}

/// A repository that is held.
pub(crate) struct Stage<'a> {
    pub(crate) holder: Holder,
    pub(crate) repository: Repository,
    pub(crate) daemon: Option<Daemon>,
    command: Option<(Running, ChildStdin)>,
    neighbour: &'a Neighbour,
    root: String,
    file: String,
    lonely: String,
    name: String,
    outs: AtomicUsize,
}

/// The private key that has the same byte 32 times.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIBERERERERERERERERERERERERERERERERERERERERER\n\
    -----END PRIVATE KEY-----\n";

impl<'a> Stage<'a> {
    pub(crate) fn new(holder: Holder, neighbour: &'a Neighbour) -> Stage<'a> {
        let repository = Repository::new();
        let folder = repository.file("folder");
        fs::create_dir(&folder).expect("the test's own folder");
        for name in ["a", "b"] {
            fs::write(folder.join(name), name).expect("the test's own folder");
        }
        fs::write(repository.file("lonely"), "nothing protects this").expect("the test's own folder");
        fs::write(repository.file("some.pem"), PEM).expect("the test's own folder");
        let root = repository.add(&folder);
        let file = repository.add(&folder.join("a"));
        repository.cidra(["dag", "export", &root]).output_to(&repository.file("root.car")).run().success();
        let lonely = repository.cidra(["block", "put", "lonely"]).run().success().text().to_owned();
        // Of a key that nobody publishes anything with any more, and so long that a daemon does not make it longer.
        repository.cidra(["key", "gen", "carried"]).run().success();
        let publish =
            ["name", "publish", "-Q", "--offline", "--allow-offline", "--key=carried", "--lifetime=2400h", &file];
        let name = repository.cidra(publish).run().success().text().to_owned();
        let record = repository.cidra(["routing", "get", "--offline", &name]);
        record.output_to(&repository.file("own.record")).run().success();
        let mut stage = Stage {
            holder,
            repository,
            daemon: None,
            command: None,
            neighbour,
            root,
            file,
            lonely,
            name,
            outs: AtomicUsize::new(0),
        };
        match holder {
            Holder::Nobody => {}
            Holder::Daemon => stage.daemon = Some(stage.repository.daemon(&[neighbour.daemon.address()])),
            Holder::Command => stage.command = Some(stage.hold()),
        }
        stage
    }

    /// A command that holds the repository until its standard input ends.
    fn hold(&self) -> (Running, ChildStdin) {
        let mut running = self.cidra("add -q -").open_input().start();
        let mut input = running.stdin();
        // More than a pipe holds: when it is written, the command reads, and that it does once it holds the repository.
        input.write_all(&[0; 1 << 17]).expect("it reads");
        (running, input)
    }

    /// A call of these words, names filled in. What a node of its own needs is in the environment, where it does not matter to
    /// a command that goes through a holder.
    pub(crate) fn cidra(&self, words: &str) -> Call {
        let words = self.filled(words);
        self.repository
            .cidra(words.split(' ').filter(|word| !word.is_empty()))
            .env("CIDRA_BOOTSTRAP", self.neighbour.daemon.address())
            .env("CIDRA_LISTEN", "/ip4/127.0.0.1/tcp/0")
            .env("CIDRA_NO_MDNS", "1")
    }

    /// The words with names filled in.
    pub(crate) fn filled(&self, words: &str) -> String {
        let mut words = words.to_owned();
        if words.contains("{out}") {
            let number = self.outs.fetch_add(1, Ordering::Relaxed);
            words = words.replace("{out}", &format!("out{number}"));
        }
        for (name, value) in [
            ("{file}", self.file.as_str()),
            ("{root}", &self.root),
            ("{theirs}", &self.neighbour.theirs),
            ("{peer}", self.neighbour.daemon.peer()),
            ("{address}", self.neighbour.daemon.address()),
            ("{folder}", "folder"),
            ("{car}", "root.car"),
            ("{pem}", "some.pem"),
            ("{lonely}", &self.lonely),
            ("{name}", &self.name),
            ("{record}", "own.record"),
        ] {
            words = words.replace(name, value);
        }
        words
    }

    /// Where its daemon serves the RPC, as HOST:PORT.
    pub(crate) fn endpoint(&self) -> String {
        let address = fs::read_to_string(self.repository.path().join("api")).expect("a daemon writes it");
        let parts: Vec<&str> = address.trim().split('/').collect();
        format!("{}:{}", parts[2], parts[4])
    }

    /// Ends whoever holds the repository; what a holding command came to.
    pub(crate) fn end(&mut self) -> Option<Finished> {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop();
        }
        let (command, input) = self.command.take()?;
        drop(input);
        Some(command.finish())
    }
}
