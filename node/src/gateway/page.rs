//! The pages that the gateway makes itself. They hold no script, load nothing, and follow the visitor's light or dark.

use std::fmt::{self, Write};

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use cid::Cid;
use percent_encoding::utf8_percent_encode;

use super::answer::{ADDRESS_IN_QUERY, in_address};
use super::route::{Origin, Target};
use crate::node::{Kind, Listed};

/// Changes when the pages do: caches hold them under it.
pub(super) const VERSION: &str = "1";

/// The page with what is in a folder.
pub(super) struct ListingPage {
    title: String,
    /// Links of the path above the list, from its root on.
    crumbs: String,
    /// The folder's address on this host, without a slash at its end.
    address: String,
    has_parent: bool,
    cid: String,
    hashes: Hashes,
}

/// Where the page of a CID is.
enum Hashes {
    /// On this gateway, below this name.
    Here(String),
    /// A website has no pages of CIDs.
    Elsewhere,
}

impl ListingPage {
    pub(super) fn new(target: &Target, cid: &Cid) -> Self {
        let gateway = match &target.origin {
            Origin::Gateway => String::new(),
            Origin::Root(name) => format!("//{name}"),
            Origin::Website(name) => format!("//{name}"),
        };
        let is_website = matches!(target.origin, Origin::Website(_));
        let root = target.root();
        let (namespace, name) = root[1..].split_once('/').unwrap_or_default();
        let first = if is_website { format!("{gateway}/") } else { format!("{gateway}{}", in_address(root)) };
        let mut crumbs = format!("/{namespace}/<a href=\"{}\">{}</a>", Escaped(&first), Escaped(name));
        let mut here = if is_website { gateway.clone() } else { first };
        for name in target.names() {
            here = here + "/" + &in_address(name);
            let _ = write!(crumbs, "/<a href=\"{}\">{}</a>", Escaped(&here), Escaped(name));
        }
        Self {
            title: target.shown.clone(),
            crumbs,
            address: target.address(),
            has_parent: !target.names().is_empty(),
            cid: cid.to_string(),
            hashes: if is_website { Hashes::Elsewhere } else { Hashes::Here(gateway) },
        }
    }

    /// What stands before the first row.
    pub(super) fn head(&self) -> String {
        let mut page = begin(&self.title);
        let Self { crumbs, cid, address, .. } = self;
        let _ = write!(
            page,
            "<header><h1>Index of {crumbs}</h1><p class=\"cid\" translate=\"no\">{cid}</p><p class=\"as\">as <a href=\"{0}/?format=tar\">TAR</a> · \
             <a href=\"{0}/?format=car\">CAR</a> · <a href=\"{0}/?format=raw\">block</a></p></header>\n<main><table><tbody>\n",
            Escaped(address)
        );
        if self.has_parent {
            let _ = writeln!(page, "<tr><td><a href=\"{}/..\">..</a></td><td></td><td></td></tr>", Escaped(address));
        }
        page
    }

    /// The row of an entry.
    pub(super) fn row(&self, page: &mut String, entry: &Listed) {
        let name = String::from_utf8_lossy(&entry.name);
        let class = if entry.kind == Kind::File { " class=\"f\"" } else { "" };
        let address = format!(
            "{}/{}",
            self.address,
            percent_encoding::percent_encode(&entry.name, super::answer::ADDRESS_OF_NAME)
        );
        let cid = entry.cid.to_string();
        let short = if cid.len() > 12 { format!("{}…{}", &cid[..4], &cid[cid.len() - 4..]) } else { cid.clone() };
        let _ = write!(page, "<tr><td{class}><a href=\"{}\">{}</a></td><td>", Escaped(&address), Escaped(&name));
        let _ = match &self.hashes {
            Hashes::Here(gateway) => {
                // As Kubo writes it: encoded once for the name, and once for the address.
                let name = utf8_percent_encode(&name, ADDRESS_IN_QUERY).to_string().replace('%', "%25");
                let gateway = Escaped(gateway);
                write!(
                    page,
                    "<a class=\"ipfs-hash\" translate=\"no\" href=\"{gateway}/ipfs/{cid}?filename={name}\">{short}</a>"
                )
            }
            Hashes::Elsewhere => write!(
                page,
                "<a class=\"ipfs-hash\" translate=\"no\" href=\"https://cid.ipfs.tech/#{cid}\" target=\"_blank\" rel=\"noreferrer noopener\">{short}</a>"
            ),
        };
        let _ = writeln!(page, "</td><td>{}</td></tr>", Size(entry.claimed));
    }
}

/// What stands behind the last row, or behind any other page.
pub(super) const END: &str = "</tbody></table></main></body></html>\n";

/// The page of a node.
pub(super) fn node(shown: &str, cid: &Cid, json: &str, address: &str) -> String {
    let mut page = begin(shown);
    let codec = cidra_content::ipld::codec_name(cid.codec());
    let _ = write!(
        page,
        "<header><h1>{}</h1><p class=\"cid\" translate=\"no\">{cid}</p><p class=\"as\">a node of codec {codec} · as <a href=\"{1}/?format={codec}\">{codec}</a> · \
         <a href=\"{1}/?format=raw\">block</a> · <a href=\"{1}/?format=car\">CAR</a></p></header>\n<main><pre>{2}</pre></main></body></html>\n",
        Escaped(shown),
        Escaped(address),
        Escaped(json)
    );
    page
}

/// The page of a request that gets no content.
pub(super) fn refusal(status: StatusCode, message: &str, details: &str) -> String {
    let mut page = begin(status.as_str());
    let reason = status.canonical_reason().unwrap_or_default();
    let _ = write!(page, "<header><h1>{} {reason}</h1></header>\n<main><p>{}</p>", status.as_str(), Escaped(message));
    if !details.is_empty() {
        let _ = write!(page, "<p>Who was asked, and what they said:</p><pre>{}</pre>", Escaped(details));
    }
    page + "</main></body></html>\n"
}

/// The page at the gateway's own address.
pub(super) fn welcome() -> Response {
    let page = begin("Cidra")
        + "<header><h1>An IPFS gateway</h1></header>\n<main><p>Content stands below <code>/ipfs/CID</code>. \
           This is <a href=\"https://specs.ipfs.tech/http-gateways/\">how</a>.</p></main></body></html>\n";
    Html(page).into_response()
}

fn begin(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\"><title>{}</title><style>{STYLE}</style></head><body>\n",
        Escaped(title)
    )
}

const STYLE: &str = include_str!("page.css");

/// Text as it stands in HTML, in attributes too.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&#34;")?,
                '\'' => formatter.write_str("&#39;")?,
                character if character.is_control() => formatter.write_char('\u{fffd}')?,
                character => formatter.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Bytes for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
        let mut unit = units.next().unwrap_or_default();
        for larger in units {
            if value < 999.5 {
                break;
            }
            (value, unit) = (value / 1000.0, larger);
        }
        let digits = usize::from(unit != "B" && value < 9.95);
        write!(formatter, "{value:.digits$} {unit}")
    }
}
