//! The servers, over real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::House;
use crate::api::doors::Doors;
use crate::api::{ServeError, serve_socket, serve_tcp};
use crate::config::Auth;
use crate::repository::socket;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_port_answers_where_it_says_it_listens() {
    let house = house();
    let server = serve_tcp(house.node.clone(), &"/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();

    let answer = ask(connect(server.address()).await, "version", "Host: localhost\r\n").await;
    let foreign = ask(connect(server.address()).await, "version", "Host: evil.example\r\n").await;

    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"Version\":\"0.43.0\""), "{answer}");
    assert!(foreign.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{foreign}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_with_the_flag_that_helps() {
    let house = house();
    let server = serve_tcp(house.node.clone(), &"/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();

    let refused = serve_tcp(house.node.clone(), server.address()).await.unwrap_err();

    assert!(matches!(refused, ServeError::Tcp { .. }) && refused.to_string().contains("--api-listen"), "{refused}");
}

#[tokio::test]
async fn beyond_loopback_only_callers_with_tokens_are_served() {
    let anywhere = "/ip4/0.0.0.0/tcp/0".parse().unwrap();
    let refused = serve_tcp(house().node.clone(), &anywhere).await.unwrap_err();
    let no_token = House::with(
        |api| {
            api.auth = Auth::Required;
            api.tokens = vec![];
        },
        |_| Doors::local(),
    );
    let guarded = House::with(|api| api.auth = Auth::Required, |_| Doors::local());

    assert!(matches!(refused, ServeError::Unguarded { .. }), "{refused}");
    assert!(matches!(serve_tcp(no_token.node.clone(), &anywhere).await, Err(ServeError::Unguarded { .. })));
    assert!(serve_tcp(guarded.node.clone(), &anywhere).await.is_ok());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_taken_away_at_the_end() {
    let house = house();
    let path = house.node.repository_path().join("api.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

    let server = serve_socket(house.node.clone(), &path).await.unwrap();
    let answer = ask(socket::connect(&path).await.unwrap(), "version", "Host: localhost\r\n").await;
    server.shutdown(SOON).await;

    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_server_that_shuts_down_ends_what_is_under_way_and_cuts_what_does_not_end() {
    let house = house();
    let path = house.node.repository_path().join("api.sock");
    let server = serve_socket(house.node.clone(), &path).await.unwrap();
    let head =
        "POST /api/v0/cidra/add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let (mut ends, mut hangs) = (socket::connect(&path).await.unwrap(), socket::connect(&path).await.unwrap());
    for stream in [&mut ends, &mut hangs] {
        stream.write_all(head.as_bytes()).await.unwrap();
        // It says so when its body is asked for.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    let shutdown = server.shutdown(Duration::from_millis(300));
    let finish = async {
        // The frame that says that all was sent.
        ends.write_all(&[0, 0, 0, 0, 5]).await.unwrap();
        let mut answer = vec![];
        ends.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let ((), answer) = tokio::time::timeout(SOON, async { tokio::join!(shutdown, finish) }).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut rest = vec![];
    // However the cut shows, nothing of an answer comes.
    let _ = tokio::time::timeout(SOON, hangs.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
    assert!(socket::connect(&path).await.is_err());
}

#[tokio::test]
async fn a_host_stays_until_its_last_guest_has_left() {
    let house = house();
    let path = house.node.repository_path().join("api.sock");
    let server = serve_socket(house.node.clone(), &path).await.unwrap();
    let mut guest = socket::connect(&path).await.unwrap();
    guest.write_all(b"POST /api/v0/version HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_ne!(guest.read(&mut [0; 512]).await.unwrap(), 0);

    let mut leaving = std::pin::pin!(server.until_idle());
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut leaving).await.is_err());
    drop(guest);

    tokio::time::timeout(SOON, leaving).await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn errors_that_come_late_are_told_in_trailers_to_callers_that_say_nothing_of_them() {
    let house = house();
    let server = serve_tcp(house.node.clone(), &"/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();
    let mut stream = connect(server.address()).await;
    let body = "--b\r\n\r\nsmall\r\n--b\r\n\r\nnext\r\n--b\r\nno header\r\n\r\n\r\n--b--\r\n";
    let head = format!(
        "POST /api/v0/block/put HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n",
        body.len()
    );
    // Twice on one connection: the second head is found, too.
    for _ in 0..2 {
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") || !answer.contains("\r\n0\r\n") {
            let mut bytes = [0; 1024];
            let count = tokio::time::timeout(SOON, stream.read(&mut bytes)).await.unwrap().unwrap();
            assert_ne!(count, 0, "{answer}");
            answer += std::str::from_utf8(&bytes[..count]).unwrap();
        }

        assert!(answer.contains("\"Size\":5"), "{answer}");
        assert!(answer.contains("\r\nx-stream-error: the upload is malformed"), "{answer}");
        assert!(answer.contains("\r\nx-cidra-exit: 2\r\n"), "{answer}");
    }
}

fn house() -> House {
    House::new(|_| Doors::local())
}

async fn connect(address: &libp2p::Multiaddr) -> TcpStream {
    let text = address.to_string();
    let port = text.rsplit('/').next().unwrap();
    TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap()
}

async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, call: &str, headers: &str) -> String {
    let request = format!("POST /api/v0/{call} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
