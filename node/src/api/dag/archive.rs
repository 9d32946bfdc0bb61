//! `dag/import` and `dag/export`: DAGs as CAR files.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use cidra_content::car;
use serde_json::json;

use super::{link, refuse_big_blocks, told};
use crate::api::answer::{Answer, Failure, Output, Shape, stream};
use crate::api::call::{Call, CidForm, Piped};
use crate::api::upload::{Piece, Upload};
use crate::node::{ArchiveImport, DagReader, Node};

/// Each part of the upload is a CAR file. The roots of all are pinned in the end, each by itself.
pub(in crate::api) async fn import(State(node): State<Node>, headers: HeaderMap, call: Call, body: Body) -> Answer {
    let local_only = call.is("local-only")?;
    let pin = call.flag("pin-roots")?;
    if local_only && pin == Some(true) {
        return Err(Failure::usage("local-only implies pin-roots=false: leave one of them out"));
    }
    let wishes = Wishes { pin: pin.unwrap_or(!local_only), stats: call.is("stats")?, silent: call.is("silent")? };
    refuse_big_blocks(&call)?;
    let mut upload = Upload::new(&headers, body)?;
    stream(&call, Shape::Objects, |output| async move {
        let imported = import_all(&node, &mut upload, &wishes, &output).await;
        if imported.is_err() {
            // Whoever still sends would not read why.
            upload.drain().await;
        }
        imported
    })
    .await
}

struct Wishes {
    pin: bool,
    stats: bool,
    silent: bool,
}

async fn import_all(node: &Node, upload: &mut Upload, wishes: &Wishes, output: &Output) -> Result<(), Failure> {
    let mut import = ArchiveImport::new(node.clone()).await;
    let mut is_open = false;
    while let Some(piece) = upload.next().await? {
        match piece {
            Piece::Part(part) => {
                if std::mem::replace(&mut is_open, true) {
                    import.end().await?;
                }
                let name = String::from_utf8_lossy(&part.path.join(&b'/')).into_owned();
                import.begin(if name.is_empty() { "standard input".to_owned() } else { name });
            }
            Piece::Data(bytes) => import.push(bytes).await?,
        }
    }
    if !is_open {
        return Err(Failure::usage("file argument 'path' is required"));
    }
    import.end().await?;
    let (roots, count) = import.finish().await?;
    if wishes.pin {
        for root in roots {
            let message = told(import.pin(root).await);
            if !wishes.silent || !message.is_empty() {
                let root = json!({"Cid": link(&root, &CidForm::default()), "PinErrorMsg": message});
                output.object(&json!({"Root": root})).await;
            }
        }
    }
    if wishes.stats {
        let stats = json!({"BlockCount": count.blocks, "BlockBytesCount": count.bytes});
        output.object(&json!({"Stats": stats})).await;
    }
    Ok(())
}

/// The DAG at a path as a CARv1: depth first, each block once. Ends with an error unless all of it was sent; with `local-only`
/// all that is here is.
pub(in crate::api) async fn export(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let local_only = call.is("local-only")?;
    if local_only && call.flag("offline")? == Some(false) {
        return Err(Failure::usage("local-only implies offline, and cannot be combined with offline=false"));
    }
    let mut options = call.fetch_options()?;
    options.offline |= local_only;
    let root = node.resolve(&call.path(&node).await?, &options).await?;
    // What fails early is told before the first byte.
    node.block(&root, &options).await?;
    let mut blocks = match local_only {
        true => DagReader::of_what_is_here(node, root, options),
        false => DagReader::new(node, root, options),
    };
    let shape = Shape::bytes("application/vnd.ipld.car", None);
    stream(&call, shape, |output| async move {
        output.bytes(car::header(&[root])).await;
        while let Some(block) = blocks.next().await? {
            output.bytes(car::section_head(block.cid(), block.data().len())).await;
            output.bytes(block.into_data()).await;
        }
        Ok(())
    })
    .await
}
