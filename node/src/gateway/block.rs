//! One block as it is.

use cidra_content::gateway::Format;

use super::answer::{Keep, disposition, headers, no_sniffing, not_modified};
use super::asked::Asked;
use super::body::Source;
use super::route::Target;
use super::{Answer, Gateway};
use crate::download::FetchOptions;
use crate::node::Resolved;

impl Gateway {
    pub(super) async fn block(
        &self,
        asked: &Asked,
        target: &Target,
        found: &Resolved,
        options: &FetchOptions,
    ) -> Answer {
        let tag = format!("\"{}.raw\"", found.cid);
        let mut headers = headers(asked, target, found, &tag, Keep::Content);
        let block = self.node.block(&found.cid, options).await.map_err(|error| asked.failed(error))?;
        if asked.has(&tag) {
            return Ok(not_modified(headers));
        }
        no_sniffing(&mut headers, Format::Raw.media_type());
        let filename = asked.filename().map_or_else(|| format!("{}.bin", found.cid), str::to_owned);
        disposition(&mut headers, "attachment", &filename);
        self.send(asked, headers, axum::http::StatusCode::OK, Source::Bytes(block.into_data()), &tag, options).await
    }
}
