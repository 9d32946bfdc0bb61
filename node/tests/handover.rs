//! A repository goes from a command that holds it to a daemon, in one process: two nodes, one folder.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::block::{Block, DAG_PB, MAX_BLOCK_SIZE, RAW};
use cidra_node::api::{self, Server};
use cidra_node::node::{Node, Role, Settings, Ticket};
use cidra_node::repository::{Opening, Repository, socket, socket_path};
use cidra_node::store::{Extent, Root, RootKind, Store, StoreError};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;

#[tokio::test]
async fn a_guest_gets_the_same_answers_as_the_holder() {
    let (here, there) = (House::new().await, House::new().await);
    let daemon = there.hand_over().await;

    let (here, guest) = (script(here.node.store()).await, script(there.node.store()).await);

    assert!(there.node.is_guest().await);
    for (number, (here, guest)) in here.iter().zip(&guest).enumerate() {
        assert!(here == guest, "answer {number}: {:.500} instead of {:.500}", guest, here);
    }
    assert_eq!(here.len(), guest.len());
    drop(daemon);
}

/// Every method of the store, and what it says.
async fn script(store: &Store) -> Vec<String> {
    let blocks: Vec<Block> = (0..300).map(|number| block(number, 100_000)).collect();
    let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    let identity = Cid::new_v1(RAW, Multihash::wrap(0, b"itself").unwrap());
    let absent = *block(1000, 1).cid();
    let root = |kind, number: u8, name: &str| Root {
        kind,
        key: vec![number, 0, 255],
        cid: cids[usize::from(number)],
        recursive: number.is_multiple_of(2),
        name: Some(name.to_owned()),
        expires: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)),
    };
    let roots: Vec<Root> = (0..20).map(|number| root(RootKind::Pin, number, "a \"name\"\n")).collect();
    let long = Root { key: vec![0; Root::NAME_MAX + 1], ..roots[0].clone() };
    let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let mut said = vec![];
    macro_rules! say {
        ($($answer:expr),* $(,)?) => { $( said.push(format!("{:?}", $answer)); )* };
    }
    say!(store.put(blocks.clone()).await, store.put(vec![]).await, store.commit().await);
    say!(store.put(vec![Block::new(DAG_PB, Bytes::from(vec![7; MAX_BLOCK_SIZE]))]).await);
    let too_large = Block::new(DAG_PB, Bytes::from(vec![7; (4 << 20) + 1]));
    say!(store.put(vec![too_large]).await.map_err(|error| error.to_string()));
    say!(store.locate([&cids[..], &[absent, identity]].concat()).await, store.locate(vec![]).await);
    say!(store.load(&cids[7]).await, store.load(&absent).await, store.load(&identity).await);
    say!(store.block(&cids[299]).await, store.block(&absent).await, store.block(&identity).await);
    say!(store.read_blocks([&cids[..9], &[absent, identity], &cids[..2]].concat()).await.unwrap().await);
    let first = store.list(None, 5).await.unwrap();
    say!(first, store.list(Some(first[4].0), 1000).await);
    say!(store.set_roots(roots.clone()).await, store.set_roots(vec![]).await, store.roots(RootKind::Pin).await);
    say!(store.set_roots(vec![long]).await.map_err(|error| error.to_string()));
    say!(store.root(RootKind::Pin, &[3, 0, 255]).await, store.root(RootKind::Files, &[3, 0, 255]).await);
    say!(store.remove_root(RootKind::Pin, &[3, 0, 255]).await, store.remove_root(RootKind::Pin, b"none").await);
    say!(store.set_complete(cids[0]).await, store.is_complete(cids[0]).await, store.is_complete(cids[1]).await);
    say!(store.queue_announcement(cids[1]).await, store.queue_announcement(cids[0]).await);
    say!(store.announcements().await, store.announced(cids[1], when).await, store.announcements().await);
    say!(store.announcement_times().await, store.unannounce(cids[1]).await, store.unannounce(absent).await);
    say!(store.remove(vec![cids[5], absent, cids[6]]).await, store.is_complete(cids[0]).await);
    say!(store.put(blocks[10..12].to_vec()).await, store.glance(vec![cids[10], absent]).await);
    store.commit().await.unwrap();
    let stat = store.stat().await.unwrap();
    say!((stat.blocks, stat.bytes, stat.pending, stat.bad_records));
    said
}

#[tokio::test]
async fn what_was_put_before_is_there_after_and_calls_under_way_only_wait() {
    let house = House::new().await;
    let store = house.node.store();
    store.put(vec![block(1, 10)]).await.unwrap();
    let ticket = house.ask().await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.put(vec![block(2, 10)]).await }
    });

    let daemon = house.daemon(ticket).await;

    waiting.await.unwrap().unwrap();
    store.commit().await.unwrap();
    let found = daemon.node.store().locate(vec![*block(1, 10).cid(), *block(2, 10).cid()]).await.unwrap();
    assert_eq!(found, [Some(10), Some(10)]);
}

#[tokio::test]
async fn calls_of_every_kind_go_on_while_it_is_handed_over() {
    let house = House::new().await;
    let store = house.node.store().clone();
    let work = tokio::spawn(async move {
        for round in 0..200 {
            store.put(vec![block(round, 1000)]).await.unwrap();
            assert_eq!(store.block(block(round, 1000).cid()).await.unwrap().unwrap(), block(round, 1000));
            if round % 10 == 0 {
                store.commit().await.unwrap();
            }
        }
    });
    tokio::task::yield_now().await;

    let daemon = house.hand_over().await;

    work.await.unwrap();
    let all: Vec<Cid> = (0..200).map(|round| *block(round, 1000).cid()).collect();
    assert!(daemon.node.store().locate(all).await.unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn what_a_guest_holds_is_held_until_it_goes() {
    let house = House::new().await;
    let store = house.node.store();
    let lease = store.lease().await;
    let (before, after) = (block(1, 10), block(2, 10));
    let named = *block(3, 10).cid();
    store.put(vec![before.clone()]).await.unwrap();
    lease.protect(named).await.unwrap();
    let daemon = house.hand_over().await;
    store.put(vec![after.clone()]).await.unwrap();
    store.commit().await.unwrap();
    let cids = vec![*before.cid(), *after.cid()];
    let holder = daemon.node.store();

    holder.collect(Extent::All).await.unwrap().finish().await.unwrap();
    assert!(holder.glance(cids.clone()).await.unwrap().iter().all(Option::is_some));
    assert!(holder.roots(RootKind::Lease).await.unwrap().iter().any(|root| root.cid == named));

    drop(lease);
    let House { folder: _folder, node, server } = house;
    drop((node, server));
    while !holder.roots(RootKind::Lease).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    holder.collect(Extent::All).await.unwrap().finish().await.unwrap();
    assert_eq!(holder.glance(cids).await.unwrap(), [None, None]);
}

#[tokio::test]
async fn a_collection_ends_where_the_store_goes_to_a_daemon() {
    let house = House::new().await;
    let store = house.node.store();
    store.put(vec![block(1, 10)]).await.unwrap();
    let mut collection = store.collect(Extent::All).await.unwrap();
    let _daemon = house.hand_over().await;
    assert!(matches!(collection.next().await, Err(StoreError::Elsewhere { .. })));
    assert_eq!(store.glance(vec![*block(1, 10).cid()]).await.unwrap(), [Some(10)]);
}

#[tokio::test]
async fn an_announcement_of_a_guest_is_queued_with_the_daemon() {
    let house = House::new().await;
    let daemon = house.hand_over().await;
    let cid = *block(1, 10).cid();

    house.node.announce(&[cid]).await.unwrap();

    assert_eq!(daemon.node.store().announcements().await.unwrap(), [cid]);
}

#[tokio::test]
async fn a_guest_whose_daemon_ends_fails_with_words_for_it() {
    let house = House::new().await;
    let store = house.node.store();
    let daemon = house.hand_over().await;
    store.put(vec![block(1, 10)]).await.unwrap();
    store.commit().await.unwrap();

    daemon.server.shutdown(Duration::ZERO).await;

    let error = store.put(vec![block(2, 10)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Gone { .. }), "{error:?}");
    assert!(error.to_string().contains("went away"), "{error}");
    assert!(matches!(store.commit().await, Err(StoreError::Gone { .. })));
    assert_eq!(daemon.node.store().locate(vec![*block(1, 10).cid()]).await.unwrap(), [Some(10)]);
}

#[tokio::test]
async fn what_the_daemon_does_not_take_is_no_reason_to_leave_it() {
    let house = House::new().await;
    let store = house.node.store();
    let _daemon = house.hand_over().await;

    let refused = store.put(vec![Block::new(RAW, Bytes::from(vec![7; MAX_BLOCK_SIZE + 1]))]).await.unwrap_err();

    assert!(refused.to_string().starts_with("a block of 2097153 bytes: the limit is"), "{refused}");
    store.put(vec![block(1, 10)]).await.unwrap();
    assert_eq!(store.locate(vec![*block(1, 10).cid()]).await.unwrap(), [Some(10)]);
}

#[tokio::test]
async fn another_daemon_is_no_host_for_a_guest_of_the_one_before() {
    let house = House::new().await;
    let store = house.node.store();
    let daemon = house.hand_over().await;
    store.put(vec![block(1, 10)]).await.unwrap();
    daemon.server.shutdown(Duration::ZERO).await;
    daemon.node.close().await.unwrap();
    drop(daemon.node);

    let _another = house.open_daemon().await;

    assert!(matches!(store.commit().await, Err(StoreError::Gone { .. })), "what was put may be lost");
}

#[tokio::test]
async fn a_repository_that_nobody_took_comes_back() {
    let house = House::new().await;
    let store = house.node.store();
    let lease = store.lease().await;
    store.put(vec![block(1, 10)]).await.unwrap();

    house.ask().await;

    // It waits for the one who asked, then opens the store here.
    assert_eq!(store.locate(vec![*block(1, 10).cid()]).await.unwrap(), [Some(10)]);
    assert!(!house.node.is_guest().await);
    assert!(matches!(Repository::open(house.path()).unwrap(), Opening::Busy));
    store.collect(Extent::All).await.unwrap().finish().await.unwrap();
    assert_eq!(store.glance(vec![*block(1, 10).cid()]).await.unwrap(), [Some(10)], "the lease holds it");
    drop(lease);
    while socket::connect(&socket_path(house.path())).await.is_err() {
        tokio::task::yield_now().await;
    }
    house.hand_over().await;
}

#[tokio::test]
async fn its_socket_is_gone_before_its_lock_and_the_daemons_socket_stays() {
    let house = House::new().await;
    let ticket = house.ask().await;
    assert!(!socket_path(house.path()).exists());

    let daemon = house.daemon(ticket).await;
    let House { node, server, .. } = house;
    server.shutdown(Duration::ZERO).await;
    drop(node);

    assert!(socket::connect(&socket_path(daemon.node.repository_path())).await.is_ok());
}

#[tokio::test]
async fn no_file_of_the_repository_is_open_once_it_is_handed_over() {
    let house = House::new().await;
    let lease = house.node.store().lease().await;
    lease.protect(*block(1, 10).cid()).await.unwrap();
    house.node.store().put(vec![block(2, 10)]).await.unwrap();
    let open = || {
        let files =
            std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        files.filter(|file| file.starts_with(house.path())).collect::<Vec<_>>()
    };
    assert!(!open().is_empty(), "this would see them");

    house.ask().await;

    assert!(open().is_empty(), "{:?}", open());
}

#[tokio::test]
async fn a_daemon_keeps_its_repository() {
    let house = House::new().await;
    let daemon = house.hand_over().await;

    let (status, said) = house.post("handover", b"").await;

    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(said.contains("does not give it up"), "{said}");
    assert_eq!(daemon.node.store().locate(vec![]).await.unwrap(), []);
}

#[tokio::test]
async fn a_second_handover_is_refused_and_harms_nothing() {
    let house = House::new().await;
    let daemon = house.hand_over().await;

    assert!(matches!(house.node.store().hand_over().await, Err(StoreError::NotHeld)));

    house.node.store().put(vec![block(1, 10)]).await.unwrap();
    assert_eq!(daemon.node.store().locate(vec![*block(1, 10).cid()]).await.unwrap(), [Some(10)]);
}

#[tokio::test]
async fn the_holder_refuses_what_is_not_of_a_guest_or_makes_no_sense() {
    let house = House::new().await;
    let ticket = house.ask().await;
    let session = serde_json::to_value(&ticket).unwrap()["session"].as_str().unwrap().to_owned();
    let daemon = house.daemon(ticket).await;
    let cid = *block(1, 10).cid();
    let put = |session: &str, cid: Cid, length: u32, data: &[u8]| {
        let line = format!("{{\"session\":\"{session}\",\"ask\":{{\"Put\":{{\"blocks\":[[\"{cid}\",{length}]]}}}}}}\n");
        [line.as_bytes(), data].concat()
    };
    let good = block(1, 10).into_data();
    let asked = [
        (put("unknown", cid, 10, &good), "session is not known"),
        (put(&session, cid, 10, &good[..9]), "fewer bytes"),
        (put(&session, cid, 10, &[&good[..], b"x"].concat()), "more bytes"),
        (put(&session, cid, 10, b"other data"), "do not match"),
        (put(&session, cid, (4 << 20) + 1, b""), "more blocks"),
        (b"{}\n".to_vec(), "missing field"),
        (vec![b' '; (4 << 20) + 1], "a line has more than"),
    ];
    for (body, refusal) in asked {
        let (status, said) = house.post("store/ask", &body).await;
        assert!(!status.is_success() && said.contains(refusal), "{status} {said} instead of {refusal}");
    }
    let (status, said) = house.post("store/join", session.as_bytes()).await;
    assert!(!status.is_success(), "the guest is there already: {said}");
    assert_eq!(daemon.node.store().locate(vec![cid]).await.unwrap(), [None]);

    let (status, said) = house.post("store/ask", &put(&session, cid, 10, &good)).await;
    assert_eq!((status, said.as_str()), (StatusCode::OK, "{\"Ok\":null}\n"));
}

/// A command that holds a repository of its own, and serves its socket.
struct House {
    folder: TempDir,
    node: Node,
    server: Server,
}

struct Daemon {
    node: Node,
    server: Server,
}

impl House {
    async fn new() -> House {
        let folder = TempDir::new().unwrap();
        let node = open(folder.path(), Role::Command);
        let server = api::serve_socket(node.clone(), &socket_path(folder.path())).await.unwrap();
        House { folder, node, server }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn ask(&self) -> Ticket {
        let (status, said) = self.post("handover", b"").await;
        assert_eq!(status, StatusCode::OK, "{said}");
        serde_json::from_str(&said).unwrap()
    }

    async fn daemon(&self, ticket: Ticket) -> Daemon {
        let node = open(self.path(), Role::Daemon);
        node.expect_guest(ticket).await.unwrap();
        let server = api::serve_socket(node.clone(), &socket_path(self.path())).await.unwrap();
        // A call waits until the guest has found it.
        self.node.store().locate(vec![]).await.unwrap();
        Daemon { node, server }
    }

    async fn open_daemon(&self) -> Daemon {
        let node = open(self.path(), Role::Daemon);
        let server = api::serve_socket(node.clone(), &socket_path(self.path())).await.unwrap();
        Daemon { node, server }
    }

    async fn hand_over(&self) -> Daemon {
        self.daemon(self.ask().await).await
    }

    async fn post(&self, call: &str, body: &[u8]) -> (StatusCode, String) {
        let stream = socket::connect(&socket_path(self.path())).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let request = Request::post(format!("/api/v0/cidra/{call}")).header("Host", "localhost");
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let said = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&said).into_owned())
    }
}

fn open(path: &Path, role: Role) -> Node {
    let Opening::Held(repository) = Repository::open(path).unwrap() else { panic!("the lock is not free") };
    Node::open(repository, Settings { role, offline: true, ..Settings::default() }).unwrap()
}

fn block(number: u32, length: usize) -> Block {
    let mut data = number.to_le_bytes().to_vec();
    data.resize(length, number as u8);
    Block::new(RAW, Bytes::from(data))
}
