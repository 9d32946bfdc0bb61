//! Blocks of the codecs json, cbor, dag-json and dag-cbor: as they are, or for people as a page.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use cidra_content::gateway::Format;
use cidra_content::ipld::{self, CBOR, DAG_CBOR, DAG_JSON, JSON};

use super::answer::{Keep, disposition, headers, no_sniffing, not_modified, redirect, response};
use super::asked::Asked;
use super::body::Source;
use super::refusal::Refusal;
use super::route::Target;
use super::{Answer, Gateway, page};
use crate::download::FetchOptions;
use crate::node::Resolved;

impl Gateway {
    pub(super) async fn native(
        &self,
        asked: &Asked,
        target: &Target,
        found: &Resolved,
        options: &FetchOptions,
        format: Option<Format>,
        codec: u64,
    ) -> Answer {
        let own = match codec {
            DAG_JSON => Format::DagJson,
            DAG_CBOR => Format::DagCbor,
            CBOR => Format::Cbor,
            _ => Format::Json,
        };
        // The plain form of the same bytes is as good.
        let is_plain =
            matches!((format, codec), (Some(Format::Json), DAG_JSON | JSON) | (Some(Format::Cbor), DAG_CBOR | CBOR));
        let format = match format {
            None => own,
            Some(format) if format == own || is_plain => format,
            Some(format) => return Err(Refusal::other_codec(format, codec)),
        };
        let block = self.node.block(&found.cid, options).await.map_err(|error| asked.failed(error))?;
        let is_page = asked.wish.format.is_none() && asked.wish.html && !asked.is_download();
        if is_page && matches!(codec, DAG_JSON | DAG_CBOR) {
            return self.page_of(asked, target, found, block.data());
        }
        let tag = format!("\"{}.{}\"", found.cid, format.name());
        let mut headers = headers(asked, target, found, &tag, Keep::Content);
        if asked.has(&tag) {
            return Ok(not_modified(headers));
        }
        no_sniffing(&mut headers, format.media_type());
        let (kind, extension) = match format {
            Format::Json | Format::DagJson => ("inline", "json"),
            _ => ("attachment", "cbor"),
        };
        let kind = if asked.is_download() { "attachment" } else { kind };
        let filename = asked.filename().map_or_else(|| format!("{}.{extension}", found.cid), str::to_owned);
        disposition(&mut headers, kind, &filename);
        self.send(asked, headers, StatusCode::OK, Source::Bytes(block.into_data()), &tag, options).await
    }

    fn page_of(&self, asked: &Asked, target: &Target, found: &Resolved, data: &bytes::Bytes) -> Answer {
        if !target.has_slash {
            return Ok(redirect(StatusCode::MOVED_PERMANENTLY, &(target.address() + "/" + &asked.suffix)));
        }
        let tag = format!("\"DagIndex-{}_CID-{}\"", page::VERSION, found.cid);
        let mut headers = headers(asked, target, found, &tag, Keep::Page);
        if asked.has(&tag) {
            return Ok(not_modified(headers));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        let shown = ipld::decode(found.cid.codec(), data).and_then(|node| ipld::encode(DAG_JSON, &node));
        let shown = match shown {
            Ok(json) => String::from_utf8_lossy(&json).into_owned(),
            Err(error) => format!("it cannot be read: {error}"),
        };
        let page = page::node(&target.shown, &found.cid, &shown, &target.address());
        Ok(response(StatusCode::OK, headers, page.into()))
    }
}
