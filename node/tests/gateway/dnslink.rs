//! Names of websites that DNS knows: <https://specs.ipfs.tech/http-gateways/dnslink-gateway/>.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cidra_node::config::{DnsServer, Routing};
use tokio::net::UdpSocket;

use super::house::House;

/// A name server that knows some texts, and counts how often it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn new(texts: Vec<(&'static str, String)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = asked.clone();
        let task = tokio::spawn(async move {
            let mut question = [0; 1024];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = socket.send_to(&answer(&question[..length], &texts), from).await; // it went away
            }
        });
        Self { address, asked, task }
    }

    async fn house(&self) -> House {
        House::with(|settings| {
            settings.offline = false;
            settings.mdns = Some(false);
            settings.routing = Some(Routing::None);
            settings.listen = Some(vec![]);
            settings.config.dns.servers = vec![DnsServer(self.address)];
        })
        .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The texts of the name that was asked for; of another, that there is none.
fn answer(question: &[u8], texts: &[(&'static str, String)]) -> Vec<u8> {
    let (mut name, mut at) = (String::new(), 12);
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        name += std::str::from_utf8(&question[at + 1..end]).unwrap();
        name.push('.');
        at = end;
    }
    let found: Vec<&String> =
        texts.iter().filter(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, text)| text).collect();
    let code = if found.is_empty() { 3 } else { 0 };
    let mut out = question[..2].to_vec();
    out.extend_from_slice(&[0x81, 0x80 | code, 0, 1, 0, u8::try_from(found.len()).unwrap(), 0, 0, 0, 0]);
    out.extend_from_slice(&question[12..at + 5]);
    for text in found {
        // The name as above, TXT, IN, 77 seconds.
        out.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 77]);
        out.extend_from_slice(&u16::try_from(text.len() + 1).unwrap().to_be_bytes());
        out.push(u8::try_from(text.len()).unwrap());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

#[tokio::test]
async fn a_website_stands_where_its_text_records_say_and_for_as_long() {
    let page = cidra_content::Block::new(cidra_content::block::RAW, "hello".into());
    let path = format!("dnslink=/ipfs/{}", page.cid());
    let server = Server::new(vec![
        ("_dnslink.site.example.", "something else".to_owned()),
        ("_dnslink.site.example.", path.clone()),
        ("old.example.", path),
        ("_dnslink.over.example.", "dnslink=/ipns/site.example".to_owned()),
        ("_dnslink.broken.example.", "dnslink=/ipfs/nonsense".to_owned()),
    ])
    .await;
    let house = server.house().await;
    house.keep(page).await;
    let at = async |host: &str, path: &str| house.ask("GET", path, &[("Host", host)]).await;

    for (host, path) in [
        ("site.example", "/"),
        ("old.example", "/"),
        ("127.0.0.1", "/ipns/site.example"),
        ("127.0.0.1", "/ipns/over.example/"),
        ("site-example.ipns.localhost", "/"),
    ] {
        let answer = at(host, path).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{host}{path}");
        let age: u64 = answer.header("cache-control").strip_prefix("public, max-age=").unwrap().parse().unwrap();
        assert!(age <= 77, "{answer:?}");
    }
    assert_eq!(at("localhost", "/ipns/site.example").await.header("location"), "http://site-example.ipns.localhost/");
    for unknown in ["/ipns/unknown.example", "/ipns/broken.example"] {
        assert_eq!(at("127.0.0.1", unknown).await.status, 500);
    }
    // What was said is believed for as long as it was said to be.
    let asked = server.asked.load(Ordering::SeqCst);
    assert_eq!(at("site.example", "/").await.status, 200);
    assert_eq!(server.asked.load(Ordering::SeqCst), asked);
}

#[tokio::test]
async fn a_node_that_speaks_to_nobody_asks_no_name_server() {
    let server = Server::new(vec![("_dnslink.site.example.", "dnslink=/ipfs/bafkqaaa".to_owned())]).await;
    let house = House::with(|settings| settings.config.dns.servers = vec![DnsServer(server.address)]).await;

    assert_eq!(house.get("/ipns/site.example").await.status, 500);
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}
