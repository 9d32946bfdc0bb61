//! Subdomain gateway, DNSLink gateway and proxies: <https://specs.ipfs.tech/http-gateways/subdomain-gateway/>.

use cidra_content::Cid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::house::{House, answer, request};

const V0: &str = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR";
const V1: &str = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";

#[tokio::test]
async fn a_path_is_redirected_to_its_subdomain() {
    let house = House::new().await;

    for (path, headers, location) in [
        (format!("/ipfs/{V1}"), &[("Host", "localhost:80")][..], format!("http://{V1}.ipfs.localhost:80/")),
        (format!("/ipfs/{V0}/a%20b?c=d"), &[("Host", "localhost")], format!("http://{V1}.ipfs.localhost/a%20b?c=d")),
        (
            format!("/ipfs/{V1}/"),
            &[("Host", "localhost"), ("X-Forwarded-Proto", "https")],
            format!("https://{V1}.ipfs.localhost/"),
        ),
        (
            format!("/ipfs/{V1}"),
            &[("Host", "x.example"), ("X-Forwarded-Host", "localhost")],
            format!("http://{V1}.ipfs.localhost/"),
        ),
        (format!("/ipfs/?uri=ipfs%3A%2F%2F{V0}%2Fa"), &[("Host", "localhost")], format!("/ipfs/{V0}/a")),
    ] {
        let answer = house.ask("GET", &path, headers).await;
        assert_eq!((answer.status, answer.header("location")), (301, &location[..]), "{path}");
    }
    let plain = house.raw("x").await;
    for host in ["127.0.0.1:8080", "[::1]", "other.example", "gateway"] {
        assert_eq!(house.ask("GET", &format!("/ipfs/{plain}"), &[("Host", host)]).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_root_in_the_host_has_its_files_at_the_top() {
    let house = House::new().await;
    let file = house.raw("hello").await;
    let inner = house.folder(&[("file.txt", file)]).await;
    let root = house.folder(&[("ipfs", inner)]).await;
    let host = format!("{root}.ipfs.localhost:8080");
    let at = async |path: &str| house.ask("GET", path, &[("Host", &host)]).await;

    assert_eq!(at("/ipfs/file.txt").await.text(), "hello");
    assert_eq!(at(&format!("/ipfs/{root}/")).await.status, 404, "the namespace is not mounted here");
    assert_eq!(at("/ipfs").await.header("location"), "/ipfs/");
    assert_eq!(at("//ipfs").await.header("location"), "/ipfs/", "never another host");
    let page = at("/").await;
    assert!(page.text().contains(&format!("/ipfs/<a href=\"//localhost:8080/ipfs/{root}\">{root}</a>")));
    assert!(page.text().contains("<a href=\"/ipfs\">ipfs</a>") && !page.text().contains(">..<"));
}

#[tokio::test]
async fn a_root_has_one_label_that_dns_takes() {
    let house = House::new().await;
    let base36 = "k2jmtxw8rjh1z69c6not3wtdxb0u3urbzhyll1t9jg6ox26dhi5sfi1m";
    let long = Cid::new_v1(0x55, cidra_content::Multihash::wrap(0x13, &[1; 64]).unwrap());

    let other = house.ask("GET", "/a?b", &[("Host", &format!("{base36}.ipfs.localhost"))]).await;
    assert_eq!((other.status, other.header("location")), (301, &format!("http://{V1}.ipfs.localhost/a?b")[..]));
    assert_eq!(house.ask("GET", "/", &[("Host", &format!("{V0}.ipfs.localhost"))]).await.status, 400);
    for (path, host) in
        [(format!("/ipfs/{long}"), "localhost".to_owned()), ("/".to_owned(), format!("{long}.ipfs.localhost"))]
    {
        let answer = house.ask("GET", &path, &[("Host", &host)]).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("CID incompatible with DNS label length limit of 63"), "{}", answer.text());
    }
}

/// A website: a folder with a page in a folder.
async fn website(house: &House) -> Cid {
    let page = house.raw("hello").await;
    let inner = house.folder(&[("page.txt", page)]).await;
    house.folder(&[("in", inner)]).await
}

#[tokio::test]
async fn a_website_is_found_by_its_name() {
    let root = website(&House::new().await).await;
    let house = House::with(|settings| {
        let mut name = |name: &str, path: &str| settings.names.insert(name.to_owned(), path.to_owned());
        name("my-site.example.org", "/ipns/other.example.org/in");
        name("other.example.org", &format!("/ipfs/{root}"));
        name("loop.example.org", "/ipns/loop.example.org");
    })
    .await;
    website(&house).await;
    let at = async |host: &str, path: &str| house.ask("GET", path, &[("Host", host)]).await;

    for (host, path) in [
        ("my-site.example.org:80", "/page.txt"),
        ("my--site-example-org.ipns.localhost", "/page.txt"),
        ("my-site.example.org.ipns.localhost", "/page.txt"),
        ("127.0.0.1", "/ipns/my-site.example.org/page.txt"),
        ("other.example.org", "/in/page.txt"),
    ] {
        let answer = at(host, path).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{host}");
        assert_eq!(answer.header("cache-control"), "", "a name may lead elsewhere tomorrow");
        assert!(answer.header("x-ipfs-path").starts_with("/ipns/"), "{answer:?}");
    }
    assert_eq!(at("127.0.0.1", "/ipns/loop.example.org").await.status, 400);
    assert_eq!(at("127.0.0.1", "/ipns/unknown.example.org").await.status, 500);
    let redirect = at("localhost", "/ipns/my-site.example.org/a?b").await;
    assert_eq!(redirect.header("location"), "http://my--site-example-org.ipns.localhost/a?b");
    let page = at("other.example.org", "/in/").await;
    assert!(page.text().contains(
        "/ipns/<a href=\"//other.example.org/\">other.example.org</a>/<a href=\"//other.example.org/in\">in</a>"
    ));
}

#[tokio::test]
async fn a_proxy_answers_for_any_host_and_through_tunnels() {
    let house = House::new().await;
    let file = house.raw("hello").await;

    let absolute = house.ask("GET", &format!("http://{file}.ipfs.localhost/"), &[("Host", "other.example")]).await;
    assert_eq!(absolute.text(), "hello");

    let mut stream = house.connect().await;
    let host = format!("{file}.ipfs.localhost:80");
    stream.write_all(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    while !head.ends_with(b"\r\n\r\n") {
        head.rotate_left(1);
        stream.read_exact(&mut head[11..]).await.unwrap();
    }
    stream.write_all(request("GET", "/", &[("Host", &host)]).as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.text(), "hello");
}
