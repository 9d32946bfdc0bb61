//! A gateway for tests: a node in a temporary folder, a port on loopback, and a client that sees every byte.

use std::collections::BTreeMap;

use bytes::Bytes;
use cidra_content::block::{DAG_PB, RAW};
use cidra_content::dag_pb::{Link, Node as PbNode};
use cidra_content::unixfs::{DirectoryImporter, Message, Metadata, Parameters, Type, symlink};
use cidra_content::{Block, Cid};
use cidra_node::gateway;
use cidra_node::http::Server;
use cidra_node::node::{Node, Settings};
use cidra_node::repository::{Opening, Repository};
use libp2p::multiaddr::Protocol;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct House {
    pub(crate) node: Node,
    pub(crate) port: u16,
    _server: Server,
    _folder: TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(configure: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let Opening::Held(repository) = Repository::open(folder.path()).unwrap() else { panic!("it is new") };
        let mut settings = Settings { offline: true, ..Settings::default() };
        configure(&mut settings);
        let node = Node::open(repository, settings).unwrap();
        let server = gateway::serve(node.clone(), &"/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();
        let port = server.address().iter().find_map(|part| match part {
            Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        Self { node, port: port.unwrap(), _server: server, _folder: folder }
    }

    pub(crate) async fn keep(&self, block: Block) -> Cid {
        self.node.store().put(vec![block.clone()]).await.unwrap();
        *block.cid()
    }

    pub(crate) async fn raw(&self, bytes: impl Into<Bytes>) -> Cid {
        self.keep(Block::new(RAW, bytes.into())).await
    }

    pub(crate) async fn link(&self, target: &str) -> Cid {
        self.keep(symlink(target.as_bytes(), Metadata::default(), &Parameters::default())).await
    }

    /// A file of these parts; those of `missing` are not kept.
    pub(crate) async fn file(&self, parts: &[&'static str], missing: &[usize]) -> Cid {
        let mut links = vec![];
        for (index, part) in parts.iter().enumerate() {
            let block = Block::new(RAW, Bytes::from_static(part.as_bytes()));
            links.push(Link { cid: *block.cid(), name: Bytes::new(), tsize: part.len() as u64 });
            if !missing.contains(&index) {
                self.keep(block).await;
            }
        }
        let sizes: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
        let message = Message { file_size: Some(sizes.iter().sum()), block_sizes: sizes, ..Message::new(Type::File) };
        self.keep(Block::new(DAG_PB, PbNode { links, data: Some(message.encode()) }.encode())).await
    }

    pub(crate) async fn folder(&self, entries: &[(&str, Cid)]) -> Cid {
        let mut importer = DirectoryImporter::new(Parameters::default());
        for (name, cid) in entries {
            importer.add(name.as_bytes(), *cid, 7).unwrap();
        }
        let (blocks, root) = importer.finish().unwrap();
        self.node.store().put(blocks).await.unwrap();
        root.cid
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// A request, on a connection of its own; `Host` may be among the headers.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request(method, path, headers).as_bytes()).await.unwrap();
        answer(&mut stream).await
    }
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text.push_str("Host: 127.0.0.1\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as its headers said that it would.
    pub(crate) is_whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("it is text")
    }
}

/// Reads one answer to the end of the connection.
pub(crate) async fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = vec![];
    // A connection that is cut may be reset, too.
    let _ = stream.read_to_end(&mut bytes).await;
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Answer { status: 0, headers: BTreeMap::new(), body: bytes, is_whole: false };
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let pairs = lines.map(|line| line.split_once(':').unwrap());
    let headers: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let body = bytes.split_off(end + 4);
    let (body, is_whole) = match headers.get("transfer-encoding").map(String::as_str) {
        Some("chunked") => unchunked(&body),
        _ => {
            let length = headers.get("content-length").and_then(|length| length.parse::<usize>().ok());
            let is_whole = length.is_none_or(|length| length == body.len());
            (body, is_whole)
        }
    };
    Answer { status, headers, body, is_whole }
}

fn unchunked(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = vec![];
    loop {
        let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else { return (body, false) };
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        bytes = &bytes[end + 2..];
        if length == 0 {
            return (body, true);
        }
        if bytes.len() < length + 2 {
            body.extend_from_slice(bytes);
            return (body, false);
        }
        body.extend_from_slice(&bytes[..length]);
        bytes = &bytes[length + 2..];
    }
}
