//! `files/write`: bytes into a file.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use cidra_content::unixfs::edit::Fashion;

use super::{changing, fashion, files_path};
use crate::api::answer::{Answer, Failure, nothing};
use crate::api::call::Call;
use crate::api::upload::{Piece, Upload};
use crate::node::{Node, WriteOptions};

/// The file of the upload goes into the one at the path.
pub(in crate::api) async fn write(State(node): State<Node>, headers: HeaderMap, call: Call, body: Body) -> Answer {
    let path = files_path(call.argument("path")?)?;
    let offset = call.number::<i64>("offset")?.unwrap_or_default();
    let offset = u64::try_from(offset).map_err(|_| Failure::usage("cannot have negative write offset"))?;
    let mut left = match call.number::<i64>("count")? {
        None => u64::MAX,
        Some(count) => u64::try_from(count).map_err(|_| Failure::usage("cannot have negative byte count"))?,
    };
    let options = WriteOptions {
        create: call.is("create")?,
        parents: call.is("parents")?,
        truncate: call.is("truncate")?,
        offset,
        raw_leaves: call.flag("raw-leaves")?,
        fashion: fashion(&call)?.unwrap_or(Fashion::V0),
    };
    let mut upload = Upload::new(&headers, body)?;
    let mut writer = match node.write_file(path, options, changing(&call)?).await {
        Ok(writer) => writer,
        Err(error) => {
            upload.drain().await;
            return Err(error.into());
        }
    };
    let mut parts = 0;
    while let Some(piece) = upload.next().await? {
        match piece {
            Piece::Part(_) => {
                parts += 1;
                if parts > 1 {
                    return Err(Failure::usage("one file is expected, there are more"));
                }
            }
            Piece::Data(bytes) => {
                let taken = left.min(bytes.len() as u64);
                left -= taken;
                writer.write(bytes.slice(..usize::try_from(taken).expect("no more than there are"))).await?;
            }
        }
    }
    if parts == 0 {
        return Err(Failure::usage("argument \"data\" is required"));
    }
    writer.finish().await?;
    Ok(nothing())
}
