//! The table: one row a command, with what shows that it works.

/// What a command prints under `--json`.
#[derive(Clone, Copy)]
pub(crate) enum Json {
    /// What this call of the RPC answers: the same fields.
    As(&'static str),
    /// The same, of a call with a file.
    AsWith(&'static str, &'static [u8]),
    /// Objects of the command's own, with these fields among others.
    Fields(&'static [&'static str]),
    /// Nothing: the RPC has no answer to this.
    Nothing,
    /// It refuses, as wrong usage.
    Refused,
}

/// Who has to be there for it to work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nobody.
    Nobody,
    /// A daemon on this repository: without, it says so.
    Daemon,
}

/// A command and how it is tried. `{file}` and the like are filled in by the stage.
pub(crate) struct Row {
    pub(crate) command: &'static str,
    pub(crate) arguments: &'static str,
    pub(crate) json: Json,
    pub(crate) needs: Needs,
    pub(crate) input: Option<&'static str>,
    /// What is done before each try, so that the next one finds what the last one took.
    pub(crate) before: &'static [&'static str],
    /// Where it is shown instead, as it does not end by itself or ends the daemon.
    pub(crate) elsewhere: Option<&'static str>,
}

const fn row(command: &'static str, arguments: &'static str, json: Json) -> Row {
    Row { command, arguments, json, needs: Needs::Nobody, input: None, before: &[], elsewhere: None }
}

const fn elsewhere(command: &'static str, file: &'static str) -> Row {
    Row { elsewhere: Some(file), ..row(command, "", Json::Nothing) }
}

const fn running(command: &'static str, arguments: &'static str, json: Json) -> Row {
    Row { needs: Needs::Daemon, ..row(command, arguments, json) }
}

use Json::{As, AsWith, Fields, Nothing, Refused};

const KEPT: &[&str] = &["key gen shown", "key rename shown kept --force"];
const PINNED: &[&str] = &["pin add {file}"];
const UPDATABLE: &[&str] = &["block put lonely", "pin add {lonely}", "pin rm {lonely}", "pin add {file}"];
const MADE: &[&str] = &["files rm -r --force /made", "files mkdir -p /made/here"];
const COPIED: &[&str] = &["files rm -r --force /copied", "files cp /ipfs/{file} /copied"];
const CONNECTED: &[&str] = &["swarm connect {address}"];

pub(crate) const ROWS: &[Row] = &[
    row("add", "{folder}", AsWith("add?pin=false", b"1")),
    row("block get", "{file}", Refused),
    Row { input: Some("a block"), ..row("block put", "", AsWith("block/put", b"a block")) },
    Row { before: &["block put lonely"], ..row("block rm", "{lonely}", As("block/rm?arg={lonely}")) },
    row("block stat", "{file}", As("block/stat?arg={file}")),
    row("bootstrap", "", As("bootstrap")),
    row("bootstrap add", "/ip4/192.0.2.1/tcp/4001", As("bootstrap/add?arg=/ip4/192.0.2.1/tcp/4001")),
    row("bootstrap list", "", As("bootstrap/list")),
    row("bootstrap rm", "/ip4/192.0.2.1/tcp/4001", As("bootstrap/rm?arg=/ip4/192.0.2.1/tcp/4001")),
    row("cat", "{file}", Refused),
    row("completion", "bash", Refused),
    row("config", "swarm.low_water", As("cidra/config/get?arg=swarm.low_water")),
    row("config add", "api.hosts here.example", As("cidra/config/add?arg=api.hosts&arg=here.example")),
    row("config get", "swarm", As("cidra/config/get?arg=swarm")),
    Row {
        before: &["config add api.hosts there.example"],
        ..row("config rm", "api.hosts there.example", As("cidra/config/rm?arg=api.hosts&arg=there.example"))
    },
    row("config set", "swarm.low_water 50", As("cidra/config/set?arg=swarm.low_water&arg=50")),
    row("config show", "", As("cidra/config/show")),
    row("config unset", "swarm.low_water", As("cidra/config/unset?arg=swarm.low_water")),
    row("dag export", "{file}", Refused),
    row("dag get", "{root}", As("dag/get?arg={root}")),
    row("dag import", "{car}", Fields(&["Root"])),
    Row { input: Some("{\"a\":[1]}"), ..row("dag put", "", AsWith("dag/put", b"{\"a\":[1]}")) },
    row("dag resolve", "{root}/a", As("dag/resolve?arg={root}/a")),
    row("dag stat", "{root} {file}", As("dag/stat?arg={root}&arg={file}&progress=false")),
    elsewhere("daemon", "tests/tests/commands/table.rs"),
    Row { before: MADE, ..row("files chcid", "--cid-version 1 /made/here", Nothing) },
    Row { before: COPIED, ..row("files chmod", "0644 /copied", Nothing) },
    Row { before: MADE, ..row("files cp", "/ipfs/{root} /made/copy", Nothing) },
    Row { before: MADE, ..row("files flush", "/made", As("files/flush?arg=/made")) },
    Row { before: MADE, ..row("files ls", "/made", Fields(&["Hash", "Name", "Size", "Type"])) },
    Row { before: MADE, ..row("files mkdir", "-p /made/there", Nothing) },
    Row { before: MADE, ..row("files mv", "/made/here /made/there", Nothing) },
    Row { before: COPIED, ..row("files read", "/copied", Refused) },
    Row { before: COPIED, ..row("files rm", "/copied", Nothing) },
    Row { before: COPIED, ..row("files stat", "/copied", As("files/stat?arg=/copied")) },
    Row { before: COPIED, ..row("files touch", "--mtime 7 /copied", Nothing) },
    Row { before: MADE, input: Some("written"), ..row("files write", "--create /made/here/it", Nothing) },
    row("get", "{root} -o {out}", Fields(&["Event"])),
    running("health", "", Fields(&["Event"])),
    row("id", "", As("id")),
    Row { before: KEPT, ..row("key export", "kept -o {out}", Fields(&["Event", "Name", "Path"])) },
    row("key gen", "{out}", As("key/gen?arg={out}")),
    row("key import", "{out} {pem} --format pem-pkcs8-cleartext", Fields(&["Id", "Name"])),
    row("key list", "", As("key/list")),
    Row { before: &["key gen was"], ..row("key rename", "was {out}", As("key/rename?arg=was&arg={out}")) },
    Row { before: &["key gen gone"], ..row("key rm", "gone", As("key/rm?arg=gone")) },
    row("ls", "{root}", Fields(&["Hash", "Name", "Size", "Type"])),
    row("name inspect", "{record}", Fields(&["Entry", "PbSize", "SignatureType", "HexDump", "Validation"])),
    row("name publish", "{file} --allow-offline", As("name/publish?arg={file}&allow-offline=true")),
    row("name resolve", "", As("name/resolve")),
    row("network new", "", Fields(&["Event", "Key"])),
    row("pin add", "{file}", As("pin/add?arg={file}")),
    row("pin ls", "", As("pin/ls?stream=true")),
    Row { before: PINNED, ..row("pin rm", "{file}", As("pin/rm?arg={file}")) },
    Row { before: UPDATABLE, ..row("pin update", "{file} {lonely}", As("pin/update?arg={file}&arg={lonely}")) },
    row("pin verify", "--verbose", As("pin/verify?verbose=true")),
    row("ping", "-n 1 {address}", As("ping?arg={address}&count=1")),
    row("refs", "{root}", As("refs?arg={root}")),
    row("refs local", "", As("refs/local")),
    // What a command that holds the repository is about to use is not collected.
    Row { before: &["block put lonely", "pin add {lonely}", "pin rm {lonely}"], ..row("repo gc", "", Fields(&[])) },
    row("repo path", "", Fields(&["Path"])),
    row("repo stat", "", As("repo/stat")),
    row("repo verify", "", As("repo/verify")),
    row("resolve", "{root}/a", As("resolve?arg={root}/a")),
    row("routing findpeer", "{peer}", As("routing/findpeer?arg={peer}")),
    row("routing findprovs", "-n 1 {theirs}", As("routing/findprovs?arg={theirs}&num-providers=1")),
    row("routing get", "/ipns/{name}", As("routing/get?arg=/ipns/{name}")),
    row("routing provide", "{file}", As("routing/provide?arg={file}")),
    row("routing put", "/ipns/{name} {record} --allow-offline", Fields(&["ID", "Type", "Responses", "Extra"])),
    elsewhere("send", "tests/tests/commands/table.rs"),
    elsewhere("shutdown", "tests/tests/commands/table.rs"),
    running("stats bw", "--proto /ipfs/id/1.0.0", As("stats/bw?proto=/ipfs/id/1.0.0")),
    running("stats exchange", "", As("cidra/stats/exchange")),
    running("stats provide", "", As("cidra/stats/provide")),
    running("swarm addrs", "", Fields(&["Addrs"])),
    running("swarm addrs listen", "", As("swarm/addrs/listen")),
    running("swarm addrs local", "--id", As("swarm/addrs/local?id=true")),
    running("swarm connect", "{address}", As("swarm/connect?arg={address}")),
    Row { before: CONNECTED, ..running("swarm disconnect", "{peer}", As("swarm/disconnect?arg=/p2p/{peer}")) },
    Row { before: CONNECTED, ..running("swarm peers", "", As("swarm/peers")) },
    row("version", "", Fields(&["Version", "RpcVersion"])),
];
