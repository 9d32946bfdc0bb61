//! The `_redirects` file of a website, where it has an origin of its own.

use axum::http::StatusCode;
use cidra_content::gateway::Redirects;
use cidra_content::gateway::redirects::{MAX_FILE, Redirect};
use cidra_content::path::ContentPath;
use cidra_content::unixfs::Entity;

use super::answer::redirect;
use super::asked::Asked;
use super::body::Source;
use super::file::Shown;
use super::refusal::Refusal;
use super::route::Target;
use super::{Answer, Gateway};
use crate::download::{FetchError, FetchOptions};
use crate::node::Resolved;

impl Gateway {
    /// What the website says of a path that it does not have; `None` where it says nothing.
    pub(super) async fn redirected(
        &self,
        asked: &Asked,
        target: &Target,
        options: &FetchOptions,
    ) -> Result<Option<axum::response::Response>, Refusal> {
        let failed = |error| asked.failed(error);
        let Some(file) = self.find(target, "_redirects", options).await.map_err(failed)? else { return Ok(None) };
        let unreadable =
            |why: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("could not parse _redirects: {why}"));
        let entity = self.node.entity(&file.cid, options).await.map_err(failed)?;
        let source = match entity.into_file() {
            Some(entity) => Source::File(file.cid, entity.size()),
            None => return Err(unreadable("it is no file".to_owned())),
        };
        // One byte more tells that it is too long.
        let text = source.first(&self.node, MAX_FILE + 1, options).await.map_err(failed)?;
        let rules = Redirects::parse(&text).map_err(|error| unreadable(error.to_string()))?;
        let path = format!("/{}", target.names().join("/"));
        match rules.find(&path, &asked.query) {
            None => Ok(None),
            Some(Redirect::Go { status, location }) => {
                let status = StatusCode::from_u16(status).expect("the rules have no other");
                Ok(Some(redirect(status, &location)))
            }
            Some(Redirect::Show { status, path }) => {
                let status = StatusCode::from_u16(status).expect("the rules have no other");
                self.rewritten(asked, target, options, status, &path).await.map(Some)
            }
        }
    }

    async fn rewritten(
        &self,
        asked: &Asked,
        target: &Target,
        options: &FetchOptions,
        status: StatusCode,
        path: &str,
    ) -> Answer {
        let failed = |error| asked.failed(error);
        let missing = || Refusal::new(StatusCode::NOT_FOUND, format!("_redirects leads to {path}, which is not there"));
        let mut found = self.find(target, path, options).await.map_err(failed)?.ok_or_else(missing)?;
        let mut entity = self.node.entity(&found.cid, options).await.map_err(failed)?;
        let mut name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if matches!(entity, Entity::Directory(_) | Entity::Shard(_)) {
            name = "index.html".to_owned();
            let path = format!("{path}/{name}");
            found = self.find(target, &path, options).await.map_err(failed)?.ok_or_else(missing)?;
            entity = self.node.entity(&found.cid, options).await.map_err(failed)?;
        }
        let shown = Shown { cid: found.cid, entity, name, status };
        self.file(asked, target, &found, shown, options).await
    }

    /// What stands at a path below the website's root.
    async fn find(&self, target: &Target, path: &str, options: &FetchOptions) -> Result<Option<Resolved>, FetchError> {
        let names = target.content.segments.len() - target.names().len();
        let Ok(below) = ContentPath::below(target.content.cid, path) else { return Ok(None) };
        let segments = [&target.content.segments[..names], &below.segments].concat();
        match self.node.follow(&ContentPath { segments, ..below }, options).await {
            Ok(found) if found.rest.is_empty() => Ok(Some(found)),
            Ok(_) | Err(FetchError::NoSuchName { .. } | FetchError::NoSuchKey { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
