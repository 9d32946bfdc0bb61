//! Files, and links to them, as bytes of their type.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use cid::Cid;
use cidra_content::fetch::DagError;
use cidra_content::gateway::Format;
use cidra_content::gateway::media_type::{SNIFFED, by_name, media_type};
use cidra_content::unixfs::Entity;

use super::answer::{Keep, headers, not_modified, wished_disposition};
use super::asked::Asked;
use super::body::Source;
use super::refusal::Refusal;
use super::route::Target;
use super::{Answer, Gateway};
use crate::download::FetchOptions;
use crate::node::Resolved;

/// A file that is shown.
pub(super) struct Shown {
    pub(super) cid: Cid,
    pub(super) entity: Entity,
    /// Its name, where it has one.
    pub(super) name: String,
    pub(super) status: StatusCode,
}

impl Gateway {
    /// A file or a folder.
    pub(super) async fn unixfs(
        &self,
        asked: &Asked,
        target: &Target,
        found: &Resolved,
        options: &FetchOptions,
    ) -> Answer {
        let entity = self.node.entity(&found.cid, options).await.map_err(|error| asked.failed(error))?;
        if matches!(entity, Entity::Directory(_) | Entity::Shard(_)) {
            return self.folder(asked, target, found, &entity, options).await;
        }
        let name = target.names().last().cloned().unwrap_or_default();
        let shown = Shown { cid: found.cid, entity, name, status: StatusCode::OK };
        self.file(asked, target, found, shown, options).await
    }

    /// A file, which may stand for what was found: for its folder, or for something that is not there.
    pub(super) async fn file(
        &self,
        asked: &Asked,
        target: &Target,
        found: &Resolved,
        shown: Shown,
        options: &FetchOptions,
    ) -> Answer {
        let tag = match asked.wish.format {
            Some(format) => format!("\"{}.{}\"", found.cid, format.name()),
            None => format!("\"{}\"", found.cid),
        };
        let mut headers = headers(asked, target, found, &tag, Keep::Content);
        if asked.has(&tag) && shown.status == StatusCode::OK {
            return Ok(not_modified(headers));
        }
        let (source, fixed) = match shown.entity {
            Entity::Raw(data) => (Source::Bytes(data), None),
            Entity::Symlink(link) => (Source::Bytes(link.target), Some("inode/symlink")),
            Entity::File(file) if file.data().len() as u64 == file.size() => (Source::Bytes(file.data().clone()), None),
            Entity::File(file) => (Source::File(shown.cid, file.size()), None),
            Entity::Directory(_) | Entity::Shard(_) => {
                let why = "a folder stands where a file should be".to_owned();
                return Err(Refusal::from(crate::download::FetchError::from(DagError::NoFile { cid: shown.cid, why })));
            }
        };
        let name = asked.filename().unwrap_or(&shown.name);
        let media = match fixed.or_else(|| by_name(name)) {
            Some(media) => media,
            None => {
                // A part of a file can be had though its begin cannot.
                let most = if asked.is_partial() { SNIFFED_OF_PART } else { SNIFFED };
                match source.first(&self.node, most, options).await {
                    Ok(first) => media_type("", &first),
                    Err(_) if asked.is_partial() => "application/octet-stream",
                    Err(error) => return Err(asked.failed(error)),
                }
            }
        };
        let json = asked.wish.format == Some(Format::Json);
        if json && !media.starts_with("application/json") && !asked.wish.anything {
            return Err(Refusal::other_codec(Format::Json, found.cid.codec()));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        wished_disposition(asked, &mut headers);
        self.send(asked, headers, shown.status, source, &tag, options).await
    }
}

/// Bytes of the begin that are looked at where only a part is wanted: few enough to lie in one block.
const SNIFFED_OF_PART: usize = 512;
