//! The arguments of a call as Kubo's clients send them: `arg=…` in order, options by name, all in the query.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::TE;
use axum::http::request::Parts;
use cid::Cid;
use cid::multibase::Base;
use cidra_content::block::DAG_PB;
use cidra_content::exchange::Order;
use cidra_content::hash::Function;
use cidra_content::path::{ContentPath, NamePath};
use libp2p::{Multiaddr, PeerId};
use percent_encoding::percent_decode_str;

use super::answer::Failure;
use super::id::LIBP2P_KEY;
use super::name::{of_name, resolving};
use super::upload::{Piece, Upload};
use crate::config::Rate;
use crate::download::FetchOptions;
use crate::node::Node;

/// What was called, apart from a body.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    arguments: Vec<String>,
    options: BTreeMap<String, Vec<String>>,
    /// The caller reads trailers.
    pub(super) trailers: bool,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let trailers = parts.headers.get_all(TE).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers")))
        });
        Ok(Self { trailers, ..Self::parse(parts.uri.query().unwrap_or_default())? })
    }
}

/// A call whose arguments may come in its body instead, a line each: what was piped into a client of Kubo.
pub(super) struct Piped(pub(super) Call);

impl<S: Sync> FromRequest<S> for Piped {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let mut call = Call::from_request_parts(&mut parts, state).await?;
        let Ok(mut upload) = Upload::new(&parts.headers, body) else { return Ok(Self(call)) };
        let mut piped = vec![];
        while let Some(piece) = upload.next().await? {
            let Piece::Data(bytes) = piece else { continue };
            if piped.len() + bytes.len() > MAX_PIPED {
                return Err(Failure::usage(format!("more than {MAX_PIPED} bytes of arguments were piped in")));
            }
            piped.extend_from_slice(&bytes);
        }
        let piped =
            String::from_utf8(piped).map_err(|_| Failure::usage("the arguments that were piped in are not UTF-8"))?;
        call.arguments.extend(piped.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        Ok(Self(call))
    }
}

/// Some ten thousand CIDs, in bytes.
const MAX_PIPED: usize = 1024 * 1024;

impl Call {
    fn parse(query: &str) -> Result<Self, Failure> {
        let mut call = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            match LONG_NAMES.iter().find(|(short, _)| *short == name) {
                _ if name == "arg" => call.arguments.push(value),
                Some((_, long)) => call.options.entry((*long).to_owned()).or_default().push(value),
                None => call.options.entry(name).or_default().push(value),
            }
        }
        Ok(call)
    }

    /// All arguments; fails when there is none. `name` is what the help calls it.
    pub(super) fn arguments(&self, name: &str) -> Result<&[String], Failure> {
        match self.arguments[..] {
            [] => Err(Failure::usage(format!("argument \"{name}\" is required"))),
            _ => Ok(&self.arguments),
        }
    }

    /// The arguments, of which there may be none.
    pub(super) fn optional_arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The only argument.
    pub(super) fn argument(&self, name: &str) -> Result<&str, Failure> {
        match self.arguments(name)? {
            [only] => Ok(only),
            more => Err(Failure::usage(format!("one argument \"{name}\" is expected, there are {}", more.len()))),
        }
    }

    /// The arguments as content paths, names resolved.
    pub(super) async fn paths(&self, node: &Node) -> Result<Vec<ContentPath>, Failure> {
        let mut paths = vec![];
        for text in self.arguments("ipfs-path")? {
            paths.push(self.content(node, text).await?);
        }
        Ok(paths)
    }

    /// The only argument as a content path, its name resolved.
    pub(super) async fn path(&self, node: &Node) -> Result<ContentPath, Failure> {
        self.content(node, self.argument("ipfs-path")?).await
    }

    /// A text as a content path, its name resolved.
    pub(super) async fn content(&self, node: &Node, text: &str) -> Result<ContentPath, Failure> {
        let Some(path) = NamePath::parse(text).map_err(|error| Failure::misused(&error))? else {
            return content_path(text);
        };
        let named = node.resolve_name(&path, &resolving(self)?).await;
        named.map(|named| named.content).map_err(of_name)
    }

    /// The only argument as a peer id.
    pub(super) fn peer(&self, name: &str) -> Result<PeerId, Failure> {
        peer(self.argument(name)?)
    }

    /// The arguments as addresses.
    pub(super) fn addresses(&self, name: &str) -> Result<Vec<Multiaddr>, Failure> {
        self.arguments(name)?.iter().map(|text| address(text)).collect()
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.options.get(name).map(Vec::as_slice) {
            None => Ok(None),
            Some([only]) => Ok(Some(only)),
            Some(more) => {
                Err(Failure::usage(format!("expected key {name} to have only a single value, received {more:?}")))
            }
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(Failure::usage(format!("option {name}: {text:?} is neither true nor false"))),
        }
    }

    pub(super) fn is(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.flag(name)?.unwrap_or(false))
    }

    pub(super) fn number<N: FromStr>(&self, name: &str) -> Result<Option<N>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = text.parse().map(Some);
        number.map_err(|_| Failure::usage(format!("option {name}: {text:?} is no number that it can take")))
    }

    /// A duration as Go writes it: `1h2m3.5s`, `300ms`.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match go_duration(text) {
            Some(duration) => Ok(Some(duration)),
            None => Err(Failure::usage(format!("option {name}: {text:?} is no duration such as 30s, 1m30s or 300ms"))),
        }
    }

    /// How fast bytes may go: `2MB/s`; not limited where it is not given.
    pub(super) fn rate(&self, name: &str) -> Result<Rate, Failure> {
        let Some(text) = self.text(name)? else { return Ok(Rate::Unlimited) };
        text.parse().map_err(|why| Failure::usage(format!("option {name}: {why}")))
    }

    /// How to fetch what is not here: `offline`, `timeout`, `idle-timeout`, `peer`, `limit-down`.
    pub(super) fn fetch_options(&self) -> Result<FetchOptions, Failure> {
        let holders = self.options.get("peer").into_iter().flatten();
        Ok(FetchOptions {
            offline: self.is("offline")?,
            timeout: self.duration("timeout")?,
            idle_timeout: self.duration("idle-timeout")?,
            holders: holders.map(|text| address(text)).collect::<Result<_, _>>()?,
            limit_down: self.rate("limit-down")?.limit(),
            order: Order::Priority,
            keep: false,
        })
    }

    /// How CIDs are written in the answer: `cid-base`, `upgrade-cidv0-in-output`.
    pub(super) fn cid_form(&self) -> Result<CidForm, Failure> {
        let base = match self.text("cid-base")? {
            None => None,
            Some(name) => match multibase(name) {
                Some(base) => Some(base),
                None => return Err(Failure::usage(format!("option cid-base: {name:?} is no multibase"))),
            },
        };
        self.form(base)
    }

    /// As [`cid_form`](Self::cid_form); where no base is asked for, version 1 below a CID of version 1, as in Kubo.
    pub(super) fn cid_form_like(&self, cid: &Cid) -> Result<CidForm, Failure> {
        let form = self.cid_form()?;
        let is_free = self.text("cid-base")?.is_none() && self.flag("upgrade-cidv0-in-output")?.is_none();
        Ok(CidForm { upgrade: form.upgrade || is_free && cid.version() == cid::Version::V1, ..form })
    }

    fn form(&self, base: Option<Base>) -> Result<CidForm, Failure> {
        // As in Kubo: a base that CIDv0 does not have implies CIDv1.
        let upgrade = self.flag("upgrade-cidv0-in-output")?.unwrap_or(base.is_some_and(|base| base != Base::Base58Btc));
        Ok(CidForm { base, upgrade })
    }
}

/// How to write a CID.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CidForm {
    base: Option<Base>,
    upgrade: bool,
}

impl CidForm {
    pub(super) fn text(&self, cid: &Cid) -> String {
        let cid = match cid.version() {
            cid::Version::V0 if self.upgrade => Cid::new_v1(DAG_PB, *cid.hash()),
            cid::Version::V0 => return cid.to_string(),
            cid::Version::V1 => *cid,
        };
        let base = self.base.unwrap_or(Base::Base32Lower);
        cid.to_string_of_base(base).expect("CIDv1 has a form in every base")
    }
}

const BASES: [(&str, Base); 12] = [
    ("base2", Base::Base2),
    ("base16", Base::Base16Lower),
    ("base16upper", Base::Base16Upper),
    ("base32", Base::Base32Lower),
    ("base32upper", Base::Base32Upper),
    ("base32hex", Base::Base32HexLower),
    ("base36", Base::Base36Lower),
    ("base36upper", Base::Base36Upper),
    ("base58btc", Base::Base58Btc),
    ("base58flickr", Base::Base58Flickr),
    ("base64url", Base::Base64Url),
    ("base64", Base::Base64),
];

/// A base by its name.
pub(super) fn multibase(name: &str) -> Option<Base> {
    BASES.iter().find(|(known, _)| *known == name).map(|(_, base)| *base)
}

/// One-letter options that callers with curl use.
const LONG_NAMES: [(&str, &str); 1] = [("enc", "encoding")];

pub(super) fn content_path(text: &str) -> Result<ContentPath, Failure> {
    ContentPath::parse(text).map_err(|error| Failure::misused(&error))
}

/// A CID, however it is wrapped; nothing below it.
pub(super) fn cid_only(text: &str) -> Result<Cid, Failure> {
    let path = content_path(text)?;
    if !path.segments.is_empty() {
        return Err(Failure::usage(format!("{text:?} points below a root CID, expected a single CID")));
    }
    Ok(path.cid)
}

/// A hash function by its name in the table of multicodecs.
pub(super) fn hash_function(name: &str) -> Result<Function, Failure> {
    Function::from_name(&name.to_ascii_lowercase())
        .ok_or_else(|| Failure::usage(format!("unrecognized hash function: {name:?}; known are {}", Function::names())))
}

pub(super) fn address(text: &str) -> Result<Multiaddr, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{text:?} is no multiaddr: {error}")))
}

/// A peer id in base58, or as a CID.
pub(super) fn peer(text: &str) -> Result<PeerId, Failure> {
    let invalid = || Failure::usage(format!("{text:?} is no peer id"));
    if let Ok(peer) = text.parse() {
        return Ok(peer);
    }
    let cid = Cid::try_from(text).map_err(|_| invalid())?;
    if cid.codec() != LIBP2P_KEY {
        return Err(invalid());
    }
    PeerId::from_bytes(&cid.hash().to_bytes()).map_err(|_| invalid())
}

fn decode(text: &str) -> Result<String, Failure> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| Failure::usage("the query is not UTF-8"))
}

fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let seconds = match &after[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = &after[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_their_order_and_options_their_names() {
        let call = Call::parse("arg=a%20b&pin=false&arg=c+d&progress&quiet=1").unwrap();

        assert_eq!(call.arguments("x").unwrap(), ["a b", "c d"]);
        assert_eq!(call.flag("pin").unwrap(), Some(false));
        assert!(call.is("progress").unwrap() && call.is("quiet").unwrap() && !call.is("other").unwrap());
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let call = Call::parse("n=many&pin=perhaps&timeout=30&name=a&name=b&cid-base=base99").unwrap();

        assert!(call.number::<u32>("n").unwrap_err().message().contains("many"));
        assert!(call.flag("pin").unwrap_err().message().contains("perhaps"));
        assert!(call.duration("timeout").unwrap_err().message().contains("\"30\""));
        assert!(call.text("name").unwrap_err().message().contains("single value"));
        assert!(call.cid_form().unwrap_err().message().contains("base99"));
        assert!(call.arguments("key").unwrap_err().message().contains("key"));
        assert!(Call::parse("arg=%ff").is_err());
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in [("30s", 30_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("300ms", 300), ("0", 0)]
        {
            assert_eq!(go_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1d", "1.2.3s", "99999999999999999999h"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_base_that_cidv0_lacks_makes_it_a_cidv1() {
        let cid: Cid = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG".parse().unwrap();
        let form = |query: &str| Call::parse(query).unwrap().cid_form().unwrap().text(&cid);

        assert_eq!(form(""), cid.to_string());
        assert_eq!(form("cid-base=base58btc"), cid.to_string());
        assert!(form("cid-base=base32").starts_with("bafybei"));
        assert!(form("upgrade-cidv0-in-output=true").starts_with("bafybei"));
    }

    #[test]
    fn a_peer_is_known_by_both_its_names() {
        let peer_id: PeerId = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5".parse().unwrap();
        let cid = Cid::new_v1(LIBP2P_KEY, cid::multihash::Multihash::from_bytes(&peer_id.to_bytes()).unwrap());

        assert_eq!(peer(&peer_id.to_string()).unwrap(), peer_id);
        assert_eq!(peer(&cid.to_string()).unwrap(), peer_id);
        assert!(peer("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi").is_err());
    }
}
