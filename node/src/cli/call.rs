//! One call of the RPC: which command, its arguments and its body.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::mpsc;

use super::failure::{Failure, Outcome};
use crate::api::outlet::Outlet;

/// A body on its way to or from the RPC.
pub(super) type Body = UnsyncBoxBody<Bytes, BodyError>;
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A call that is being put together.
pub(super) struct Call {
    command: String,
    query: String,
    content_type: Option<String>,
    body: Body,
    outlet: Option<Outlet>,
}

impl Call {
    /// A call of `/api/v0/` and the command.
    pub(super) fn new(command: &str) -> Self {
        Self { command: command.to_owned(), query: String::new(), content_type: None, body: empty(), outlet: None }
    }

    /// One positional argument.
    pub(super) fn argument(self, value: impl AsRef<str>) -> Self {
        self.option("arg", value)
    }

    /// Several positional arguments.
    pub(super) fn arguments<T: AsRef<str>>(self, values: impl IntoIterator<Item = T>) -> Self {
        values.into_iter().fold(self, Self::argument)
    }

    /// A named argument.
    pub(super) fn option(mut self, name: &str, value: impl AsRef<str>) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(name);
        self.query.push('=');
        self.query.extend(utf8_percent_encode(value.as_ref(), IN_A_QUERY));
        self
    }

    /// A named argument, where it was given.
    pub(super) fn maybe(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.option(name, value.to_string()),
            None => self,
        }
    }

    /// A named argument that is true or false.
    pub(super) fn flag(self, name: &str, value: bool) -> Self {
        self.option(name, if value { "true" } else { "false" })
    }

    /// Where files are to be written, for a node in this process: nothing else hears of it.
    pub(super) fn outlet(mut self, outlet: Option<Outlet>) -> Self {
        self.outlet = outlet;
        self
    }

    /// A body whose pieces come through a channel; it ends when the channel does.
    pub(super) fn streamed(mut self, content_type: &str, pieces: mpsc::Receiver<Bytes>) -> Self {
        let pieces = stream::unfold(pieces, async |mut pieces| {
            let piece = pieces.recv().await?;
            Some((piece, pieces))
        });
        self.body = StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece))).fuse()).boxed_unsync();
        self.content_type = Some(content_type.to_owned());
        self
    }

    /// A body of files as a browser's form sends them.
    pub(super) fn files(mut self, files: &[Bytes]) -> Self {
        let boundary = boundary(files);
        let mut body = Vec::new();
        for file in files {
            body.extend_from_slice(format!("--{boundary}\r\n{PART_HEAD}\r\n\r\n").as_bytes());
            body.extend_from_slice(file);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        self.body = Full::from(body).map_err(|never| match never {}).boxed_unsync();
        self.content_type = Some(format!("multipart/form-data; boundary={boundary}"));
        self
    }

    /// The request, for the server called `host`.
    pub(super) fn into_request(self, host: &str, authorization: Option<&HeaderValue>) -> Outcome<Request<Body>> {
        let uri = match self.query.as_str() {
            "" => format!("/api/v0/{}", self.command),
            query => format!("/api/v0/{}?{query}", self.command),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(HOST, host)
            .header(USER_AGENT, concat!("cidra/", env!("CARGO_PKG_VERSION")))
            // Errors in the middle of an answer come as trailers.
            .header(TE, "trailers");
        if let Some(content_type) = self.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = match self.outlet {
            Some(outlet) => request.extension(outlet),
            None => request,
        };
        request.body(self.body).map_err(|error| Failure::usage(format!("these arguments make no request: {error}")))
    }
}

const IN_A_QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b':');

const PART_HEAD: &str =
    "Content-Disposition: form-data; name=\"file\"; filename=\"file\"\r\nContent-Type: application/octet-stream";

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A line that occurs in none of the files, as the format wants.
fn boundary(files: &[Bytes]) -> String {
    (0u64..)
        .map(|number| format!("cidra-part-{number:016x}"))
        .find(|mark| !files.iter().any(|file| file.windows(mark.len()).any(|window| window == mark.as_bytes())))
        .expect("a file is finite")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(call: Call) -> String {
        call.into_request("localhost", None).unwrap().uri().to_string()
    }

    #[test]
    fn arguments_with_any_characters_stay_one_argument() {
        let call = Call::new("cat").argument("ipfs://bafy/a b?c&d=é#").flag("offline", true);

        assert_eq!(uri(call), "/api/v0/cat?arg=ipfs://bafy/a%20b%3Fc%26d%3D%C3%A9%23&offline=true");
    }

    #[test]
    fn a_call_without_arguments_has_no_query() {
        assert_eq!(uri(Call::new("id")), "/api/v0/id");
    }

    #[test]
    fn the_boundary_is_in_no_file() {
        let file = Bytes::from(format!("x{}", boundary(&[])));

        assert_ne!(boundary(&[file]), boundary(&[]));
    }
}
