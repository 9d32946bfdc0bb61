//! From the address of a request to a path of content, or to another address.

use axum::http::StatusCode;
use cid::Cid;
use cidra_content::gateway::host::{TooLong, inline, is_domain, key_label, outline, root_label};
use cidra_content::gateway::{Format, Host};
use cidra_content::ipns::{Name, Record};
use cidra_content::path::{ContentPath, PathError, parse_cid};

use super::Gateway;
use super::answer::in_address;
use super::asked::Asked;
use super::named::{Named, canonical, of_peer_id};
use super::refusal::Refusal;
use crate::download::FetchError;

/// What is to be done for an address.
pub(super) enum Route {
    /// Content is shown.
    Content(Box<Target>),
    /// It has another address for good.
    Moved(String),
    /// A record of a name is shown.
    Record(Box<Record>),
    /// It has another address.
    Redirect(String),
    /// It is the gateway's own page.
    Welcome,
}

/// A path of content, and where it stands.
pub(super) struct Target {
    pub(super) content: ContentPath,
    /// As it was asked for: `/ipfs/CID/path` or `/ipns/name/path`.
    pub(super) shown: String,
    pub(super) origin: Origin,
    /// Whether the path ends with a slash, as the address of a folder does.
    pub(super) has_slash: bool,
    /// How it is named, where that may change.
    pub(super) name: Option<Named>,
    /// The names of `content` that stand in the address; those before them come from a name.
    pub(super) asked_names: usize,
}

/// What its pages share an origin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// With all content of this gateway.
    Gateway,
    /// With what is below the same root; the gateway's name.
    Root(String),
    /// With what is on the same website; its name.
    Website(String),
}

impl Target {
    pub(super) fn has_own_origin(&self) -> bool {
        self.origin != Origin::Gateway
    }

    /// The names in the address, below its root.
    pub(super) fn names(&self) -> &[String] {
        &self.content.segments[self.content.segments.len() - self.asked_names..]
    }

    /// The root in the address: `/ipfs/CID` or `/ipns/name`.
    pub(super) fn root(&self) -> &str {
        let mut slashes = self.shown.match_indices('/').skip(2);
        slashes.next().map_or(&self.shown, |(end, _)| &self.shown[..end])
    }

    /// The address of the content on this host, without a slash at its end.
    pub(super) fn address(&self) -> String {
        let root = if self.has_own_origin() { String::new() } else { in_address(self.root()) };
        self.names().iter().fold(root, |address, name| address + "/" + &in_address(name))
    }
}

impl Gateway {
    pub(super) async fn route(&self, asked: &Asked) -> Result<Route, Refusal> {
        if let Some(location) = of_uri(asked)? {
            return Ok(Route::Moved(location));
        }
        match Host::of(&asked.host, &self.config.hosts) {
            Host::Root { namespace, root, gateway } => self.below_gateway(asked, namespace, &root, gateway).await,
            Host::Gateway(name) => match split(&asked.path) {
                Some((namespace, root, rest)) => match self.subdomain(asked, namespace, root, rest, &name).await? {
                    Some(location) => Ok(Route::Moved(location)),
                    None => self.path(asked).await,
                },
                None => self.path(asked).await,
            },
            Host::Website(name) if split(&asked.path).is_none() && self.knows(asked, &name).await => {
                self.named(asked, &name, &asked.path, Origin::Website(asked.host.clone())).await
            }
            Host::Website(_) | Host::Plain => self.path(asked).await,
        }
    }

    /// `/ipfs/CID/path` or `/ipns/name/path`.
    async fn path(&self, asked: &Asked) -> Result<Route, Refusal> {
        if asked.path == "/" {
            return Ok(Route::Welcome);
        }
        let Some((namespace, root, rest)) = split(&asked.path) else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing here: content stands below /ipfs/CID"));
        };
        if namespace == "ipns" {
            if let Some(name) = of_peer_id(root) {
                return Ok(Route::Redirect(format!("/ipns/{name}") + &in_address(rest) + &asked.suffix));
            }
            return self.named(asked, root, rest, Origin::Gateway).await;
        }
        if let ("ipfs", Some((_, inner, rest))) = (root, split(rest).filter(|(inner, ..)| *inner == "ipfs"))
            && parse_cid(inner).is_ok()
        {
            return Ok(Route::Moved(in_address(&format!("/ipfs/{inner}{rest}")) + &asked.suffix));
        }
        let cid = self.cid(asked, root)?;
        content(asked, cid, rest, Origin::Gateway, format!("/ipfs/{root}"), None)
    }

    /// `CID.ipfs.gateway/path` or `name.ipns.gateway/path`.
    async fn below_gateway(
        &self,
        asked: &Asked,
        namespace: &'static str,
        root: &str,
        gateway: String,
    ) -> Result<Route, Refusal> {
        if namespace == "ipns" {
            let is_inline = !root.contains('.') && root.contains('-') && !self.knows(asked, root).await;
            let name = if is_inline { outline(root) } else { root.to_owned() };
            if let Some(label) = canonical(&name).filter(|label| *label != name) {
                let scheme = if asked.secure { "https" } else { "http" };
                let path = in_address(&asked.path);
                return Ok(Route::Moved(format!("{scheme}://{label}.ipns.{gateway}{path}{}", asked.suffix)));
            }
            return self.named(asked, &name, &asked.path, Origin::Root(gateway)).await;
        }
        let cid = self.cid(asked, root)?;
        let label = root_label(&cid).map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        if label != root {
            // One root has one origin.
            let scheme = if asked.secure { "https" } else { "http" };
            let path = in_address(&asked.path);
            return Ok(Route::Moved(format!("{scheme}://{label}.ipfs.{gateway}{path}{}", asked.suffix)));
        }
        content(asked, cid, &asked.path, Origin::Root(gateway), format!("/ipfs/{cid}"), None)
    }

    async fn named(&self, asked: &Asked, name: &str, rest: &str, origin: Origin) -> Result<Route, Refusal> {
        let below: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        if let Some(denial) = self.node.denied().name(name, &below) {
            let what = format!("/ipns/{name}");
            return Err(FetchError::Denied { what, denial: Box::new(denial) }.into());
        }
        if asked.wish.format == Some(Format::IpnsRecord) {
            return self.record(asked, name, rest).await;
        }
        let named = self.resolve(asked, name).await?;
        content(asked, named.content.cid, rest, origin, format!("/ipns/{name}"), Some(named))
    }

    /// Where the content of a path has an origin of its own; `None` where it is to be answered on the path.
    async fn subdomain(
        &self,
        asked: &Asked,
        namespace: &str,
        root: &str,
        rest: &str,
        gateway: &str,
    ) -> Result<Option<String>, Refusal> {
        let too_long = |error: TooLong| Refusal::new(StatusCode::BAD_REQUEST, error.to_string());
        let label = match (namespace, Name::parse(root)) {
            ("ipfs", _) => root_label(&self.cid(asked, root)?).map_err(too_long)?,
            (_, Ok(name)) => key_label(&name.cid()).map_err(too_long)?,
            (_, Err(_)) => {
                let inlined = !root.contains('.') && root.contains('-');
                let name = match inlined && self.knows(asked, &outline(root)).await {
                    true => outline(root),
                    false => root.to_owned(),
                };
                if !is_domain(&name) || !self.knows(asked, &name).await {
                    return Ok(None);
                }
                inline(&name).map_err(too_long)?
            }
        };
        let scheme = if asked.secure { "https" } else { "http" };
        let path = if rest.is_empty() { "/".to_owned() } else { in_address(rest) };
        Ok(Some(format!("{scheme}://{label}.{namespace}.{gateway}{path}{}", asked.suffix)))
    }

    fn cid(&self, asked: &Asked, text: &str) -> Result<Cid, Refusal> {
        parse_cid(text).map_err(|error| {
            let message = format!("invalid path \"{}\": {error}", asked.path.escape_debug());
            Refusal::new(StatusCode::BAD_REQUEST, message)
        })
    }
}

fn content(
    asked: &Asked,
    cid: Cid,
    rest: &str,
    origin: Origin,
    root: String,
    name: Option<Named>,
) -> Result<Route, Refusal> {
    let bad = |error: PathError| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("invalid path \"{}\": {error}", asked.path.escape_debug()))
    };
    let mut content = ContentPath::below(cid, rest).map_err(bad)?;
    let asked_names = content.segments.len();
    let before = name.as_ref().map(|name| name.content.segments.clone()).unwrap_or_default();
    content.segments.splice(0..0, before);
    let shown = format!("{root}{rest}");
    let has_slash = rest.ends_with('/');
    Ok(Route::Content(Box::new(Target { content, shown, origin, has_slash, name, asked_names })))
}

/// `/ipfs/root/rest` or `/ipns/root/rest`: the rest begins with its slash, or is empty.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let (namespace, path) = path.strip_prefix('/')?.split_once('/')?;
    let end = path.find('/').unwrap_or(path.len());
    let (root, rest) = path.split_at(end);
    (matches!(namespace, "ipfs" | "ipns") && !root.is_empty()).then_some((namespace, root, rest))
}

/// `/ipfs/?uri=ipfs://…`, which browsers can be told to call.
fn of_uri(asked: &Asked) -> Result<Option<String>, Refusal> {
    let Some(uri) = asked.query.get("uri").filter(|_| matches!(&asked.path[..], "/ipfs/" | "/ipns/")) else {
        return Ok(None);
    };
    let bad =
        || Refusal::new(StatusCode::BAD_REQUEST, format!("{uri:?} is no address that begins with ipfs:// or ipns://"));
    let (scheme, rest) = uri.split_once("://").ok_or_else(bad)?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(&scheme[..], "ipfs" | "ipns") || rest.is_empty() || rest.starts_with('/') {
        return Err(bad());
    }
    Ok(Some(answer_address(&format!("/{scheme}/{rest}"))))
}

/// An address that may have a query: only what cannot stand in one is encoded.
fn answer_address(address: &str) -> String {
    let (path, query) = address.split_once('?').map_or((address, None), |(path, query)| (path, Some(query)));
    let path: String = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    let query = query.map_or(String::new(), |query| cidra_content::gateway::Query::parse(query).to_suffix());
    in_address(&path) + &query
}
