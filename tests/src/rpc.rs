//! Calls of the RPC on TCP as any program makes them: HTTP/1.1 by hand, so that nothing of ours reads what ours wrote.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Reply {
    /// The status of HTTP.
    pub status: u16,
    /// The body without its transfer coding.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as objects of JSON, however they are parted. Panics where it is something else.
    pub fn objects(&self) -> Vec<Value> {
        let objects = serde_json::Deserializer::from_slice(&self.body).into_iter();
        objects.map(|object| object.unwrap_or_else(|error| panic!("{error}: {}", self.text()))).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Calls `/api/v0/` and `call` at `HOST:PORT`, with the bytes as a file in a form, where there are some, and these header
/// lines. Panics when nobody answers.
pub fn call(endpoint: &str, call: &str, file: Option<&[u8]>, headers: &[&str]) -> Reply {
    ask(endpoint, &request(endpoint, call, file, headers))
}

/// The same of somebody who may be gone before it has answered: then there is no answer.
pub fn call_if_there(endpoint: &str, call: &str, file: Option<&[u8]>) -> Option<Reply> {
    exchange(endpoint, &request(endpoint, call, file, &[])).ok()
}

fn request(endpoint: &str, call: &str, file: Option<&[u8]>, headers: &[&str]) -> Vec<u8> {
    let body = file.map(form).unwrap_or_default();
    let mut request = format!(
        "POST /api/v0/{call} HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    if file.is_some() {
        request += &format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
    }
    headers.iter().for_each(|line| request += &format!("{line}\r\n"));
    request += "\r\n";
    [request.as_bytes(), &body].concat()
}

/// Gets `path` at `HOST:PORT`, with these header lines beside its Host. Panics when nobody answers.
pub fn get(endpoint: &str, path: &str, headers: &[&str]) -> Reply {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\n");
    headers.iter().for_each(|line| request += &format!("{line}\r\n"));
    ask(endpoint, format!("{request}\r\n").as_bytes())
}

fn ask(endpoint: &str, request: &[u8]) -> Reply {
    exchange(endpoint, request).unwrap_or_else(|error| panic!("{endpoint}: {error}"))
}

fn exchange(endpoint: &str, request: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(endpoint)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let no_head = || io::Error::new(io::ErrorKind::UnexpectedEof, "an answer without a head");
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").ok_or_else(no_head)?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(no_head)?;
    let body = &answer[end + 4..];
    let body = if head.contains("transfer-encoding: chunked") { chunks(body) } else { body.to_vec() };
    Ok(Reply { status, body })
}

/// No call of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
const BOUNDARY: &str = "a-line-in-no-file-of-the-tests";

fn form(file: &[u8]) -> Vec<u8> {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\r\n");
    [head.as_bytes(), file, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat()
}

fn chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|end| end == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a chunk begins with its size");
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    body
}
