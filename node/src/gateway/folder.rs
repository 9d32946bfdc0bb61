//! Folders: their `index.html`, or a page with what is in them.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use cidra_content::gateway::Format;
use cidra_content::path::ContentPath;
use cidra_content::unixfs::Entity;
use futures::stream::{self, StreamExt};

use super::answer::{Keep, headers, not_modified, redirect, response};
use super::asked::Asked;
use super::body::cut;
use super::file::Shown;
use super::page::ListingPage;
use super::refusal::Refusal;
use super::route::Target;
use super::{Answer, Gateway, page};
use crate::download::{FetchError, FetchOptions};
use crate::node::{Listing, Resolved};

impl Gateway {
    pub(super) async fn folder(
        &self,
        asked: &Asked,
        target: &Target,
        found: &Resolved,
        entity: &Entity,
        options: &FetchOptions,
    ) -> Answer {
        if asked.wish.format == Some(Format::Json) && !asked.wish.anything {
            return Err(Refusal::other_codec(Format::Json, found.cid.codec()));
        }
        let is_top = target.has_own_origin() && target.names().is_empty();
        if !target.has_slash && !is_top {
            return Ok(redirect(StatusCode::MOVED_PERMANENTLY, &(target.address() + "/" + &asked.suffix)));
        }
        if let Some(index) = self.index(found, entity, options).await.map_err(|error| asked.failed(error))? {
            return self.file(asked, target, found, index, options).await;
        }
        let tag = format!("\"DirIndex-{}_CID-{}\"", page::VERSION, found.cid);
        let mut headers = headers(asked, target, found, &tag, Keep::Page);
        if asked.has(&tag) {
            return Ok(not_modified(headers));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        if asked.head {
            return Ok(response(StatusCode::OK, headers, Body::empty()));
        }
        let listing = self.node.list(&found.cid, false, options).await.map_err(|error| asked.failed(error))?;
        let page = ListingPage::new(target, &found.cid);
        let head = Bytes::from(page.head());
        let rows = stream::try_unfold(Some((page, listing)), |state| async move {
            let Some((page, mut listing)) = state else { return Ok(None) };
            Ok::<_, FetchError>(match rows(&page, &mut listing).await.inspect_err(cut)? {
                Some(rows) => Some((rows, Some((page, listing)))),
                None => Some((Bytes::from_static(page::END.as_bytes()), None)),
            })
        });
        let body = Body::from_stream(stream::once(async { Ok(head) }).chain(rows));
        Ok(response(StatusCode::OK, headers, body))
    }

    /// The file that stands for a folder.
    async fn index(
        &self,
        found: &Resolved,
        entity: &Entity,
        options: &FetchOptions,
    ) -> Result<Option<Shown>, FetchError> {
        let name = "index.html".to_owned();
        let cid = match entity {
            Entity::Directory(directory) => directory.find(name.as_bytes()).map(|entry| entry.cid),
            _ => {
                let path = ContentPath::below(found.cid, &name).expect("it is short and stays below");
                match self.node.follow(&path, options).await {
                    Ok(found) => Some(found.cid),
                    Err(FetchError::NoSuchName { .. }) => None,
                    Err(error) => return Err(error),
                }
            }
        };
        let Some(cid) = cid else { return Ok(None) };
        let entity = self.node.entity(&cid, options).await?;
        let is_file = matches!(entity, Entity::File(_) | Entity::Raw(_));
        Ok(is_file.then_some(Shown { cid, entity, name, status: StatusCode::OK }))
    }
}

/// What is at hand of the list; `None` at its end.
async fn rows(page: &ListingPage, listing: &mut Listing) -> Result<Option<Bytes>, FetchError> {
    let Some(entry) = listing.next().await? else { return Ok(None) };
    let mut rows = String::new();
    page.row(&mut rows, &entry);
    while rows.len() < ROWS {
        let Some(entry) = listing.try_next() else { break };
        page.row(&mut rows, &entry);
    }
    Ok(Some(rows.into()))
}

/// Bytes of a page that are worth a piece of their own.
const ROWS: usize = 32 << 10;
