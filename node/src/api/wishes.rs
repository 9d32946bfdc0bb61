//! What a caller of `add` wishes: Kubo's options, with Kubo's rules.

use cid::Version;
use cidra_content::hash::Function;
use cidra_content::unixfs::{Layout, Metadata, Parameters, ParametersError, Time};
use serde_json::{Map, Value};

use super::add::line;
use super::answer::Failure;
use super::call::{Call, CidForm, hash_function};
use super::pin::pin_name;
use crate::add::{Added, ImportOptions, Pin};

/// What a caller of `add` wishes.
pub(super) struct Wishes {
    parameters: Parameters,
    pub(super) only_hash: bool,
    pub(super) wrap: bool,
    pub(super) announce: bool,
    empty_folders: bool,
    kept: Kept,
    pin: Pin,
    pub(super) progress: bool,
    pub(super) silent: bool,
    pub(super) form: CidForm,
}

/// What is stored of entries beside their content.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    mode: bool,
    mtime: bool,
    /// For all, where their own is not stored.
    fixed: Metadata,
}

impl Wishes {
    pub(super) fn of(call: &Call) -> Result<Self, Failure> {
        for name in UNSUPPORTED_FLAGS {
            if call.is(name)? {
                return Err(Failure::usage(format!("option {name} is not supported by this node")));
            }
        }
        for name in UNSUPPORTED {
            if call.text(name)?.is_some_and(|value| !value.is_empty() && value != "0") {
                return Err(Failure::usage(format!("option {name} is not supported by this node")));
            }
        }
        let name = pin_name(call, "pin-name")?;
        let only_hash = call.is("only-hash")?;
        let pin = match call.flag("pin")?.unwrap_or(true) {
            false if name.is_some() => return Err(Failure::usage("pin-name option requires pin to be set")),
            true if !only_hash => Pin::Yes { name },
            _ => Pin::No,
        };
        let kept = Kept::of(call)?;
        Ok(Self {
            parameters: parameters(call, kept.is_any())?,
            only_hash,
            announce: !only_hash,
            wrap: call.is("wrap-with-directory")?,
            empty_folders: call.flag("empty-dirs")?.unwrap_or(true),
            kept,
            pin,
            progress: call.is("progress")?,
            silent: call.is("silent")?,
            form: call.cid_form()?,
        })
    }

    /// What is sent is served for a while, and neither pinned nor announced.
    pub(super) fn for_sending(self) -> Self {
        Self { only_hash: false, announce: false, pin: Pin::No, ..self }
    }

    pub(super) fn options(&self) -> ImportOptions {
        ImportOptions {
            parameters: self.parameters,
            only_hash: self.only_hash,
            pin: self.pin.clone(),
            wrap: self.wrap.then(|| self.metadata(true, Metadata::default())),
            empty_folders: self.empty_folders,
            revisits: false,
        }
    }

    /// What is stored of an entry that has `given`.
    pub(super) fn metadata(&self, is_folder: bool, given: Metadata) -> Metadata {
        let Kept { mode, mtime, fixed } = self.kept;
        let mode = if mode { given.mode.map(|mode| mode & MODE) } else { fixed.mode };
        Metadata {
            // As in Kubo, where a file without any permission is one of which nothing is known.
            mode: mode.filter(|mode| is_folder || *mode != 0),
            mtime: if mtime { given.mtime } else { fixed.mtime },
        }
    }

    pub(super) fn line(&self, added: &Added) -> Map<String, Value> {
        line(added, &self.form)
    }
}

/// Permissions with setuid, setgid and sticky.
const MODE: u32 = 0o7777;

const UNSUPPORTED_FLAGS: [&str; 2] = ["fscache", "nocopy"];
const UNSUPPORTED: [&str; 2] = ["max-directory-links", "to-files"];

impl Kept {
    fn of(call: &Call) -> Result<Self, Failure> {
        let mode = match call.text("mode")?.filter(|text| !text.is_empty()) {
            Some(text) => Some(mode(text)?).filter(|mode| *mode != 0),
            None => None,
        };
        let seconds = call.number::<i64>("mtime")?.filter(|seconds| *seconds != 0);
        let nanoseconds = call.number::<u32>("mtime-nsecs")?.unwrap_or(0);
        if nanoseconds > 0 && seconds.is_none() {
            return Err(Failure::usage("option \"mtime-nsecs\" requires \"mtime\" to be provided as well"));
        }
        if nanoseconds >= 1_000_000_000 {
            return Err(Failure::usage(format!("mtime-nsecs {nanoseconds}: a second has fewer nanoseconds")));
        }
        let mtime = seconds.map(|seconds| Time { seconds, nanoseconds });
        Ok(Self { mode: call.is("preserve-mode")?, mtime: call.is("preserve-mtime")?, fixed: Metadata { mode, mtime } })
    }

    fn is_any(&self) -> bool {
        self.mode || self.mtime || self.fixed != Metadata::default()
    }
}

/// Kubo reads it as Go reads numbers: `0755` and `0o755` are octal, `493` is the same.
fn mode(text: &str) -> Result<u32, Failure> {
    let octal = text.strip_prefix("0o").or(text.strip_prefix('0')).filter(|digits| !digits.is_empty());
    let mode = match octal {
        Some(digits) => u32::from_str_radix(digits, 8),
        None => text.parse(),
    };
    let mode = mode.map_err(|_| Failure::usage(format!("mode {text:?}: write it as 0644")))?;
    Ok(mode & 0o777)
}

/// Kubo's rules: CIDv1 and other hashes than sha2-256 imply raw leaves unless these are refused, and metadata wrapped ones.
fn parameters(call: &Call, has_metadata: bool) -> Result<Parameters, Failure> {
    let invalid = |error: ParametersError| Failure::misused(&error);
    let mut parameters = match call.text("profile")? {
        None | Some("unixfs-v0-2015") => Parameters::V0_2015,
        Some("unixfs-v1-2025") => Parameters::V1_2025,
        Some(other) => {
            return Err(Failure::usage(format!("profile {other:?}: known are unixfs-v1-2025 and unixfs-v0-2015")));
        }
    };
    let hash = call.text("hash")?.filter(|name| !name.is_empty());
    if let Some(name) = hash {
        parameters = parameters.with_hash(hash_function(name)?);
    }
    match call.number::<u8>("cid-version")? {
        None => {}
        Some(0) => parameters = parameters.with_cid_version(Version::V0).map_err(invalid)?.with_raw_leaves(false),
        Some(1) => parameters = parameters.with_cid_version(Version::V1).map_err(invalid)?.with_raw_leaves(true),
        Some(other) => return Err(Failure::usage(format!("unknown CID version {other}"))),
    }
    if parameters.hash() != Function::Sha2_256 {
        parameters = parameters.with_raw_leaves(true);
    }
    match call.flag("raw-leaves")? {
        Some(true) if has_metadata => {
            return Err(Failure::usage("raw-leaves can't be used with UnixFS metadata like mode or modification time"));
        }
        Some(raw) => parameters = parameters.with_raw_leaves(raw),
        None if has_metadata => parameters = parameters.with_raw_leaves(false),
        None => {}
    }
    if let Some(chunker) = call.text("chunker")?.filter(|text| !matches!(*text, "" | "default")) {
        let size = chunker.strip_prefix("size-").and_then(|size| size.parse().ok());
        let Some(size) = size else {
            return Err(Failure::usage(format!("chunker {chunker:?}: only size-N is supported, N in bytes")));
        };
        parameters = parameters.with_chunk_size(size).map_err(invalid)?;
    }
    if let Some(links) = call.number::<usize>("max-file-links")?.filter(|links| *links > 0) {
        parameters = parameters.with_max_links(links).map_err(invalid)?;
    }
    if let Some(fanout) = call.number::<u32>("max-hamt-fanout")?.filter(|fanout| *fanout > 0) {
        parameters = parameters.with_fanout(fanout).map_err(invalid)?;
    }
    if call.is("inline")? {
        let limit = call.number("inline-limit")?.unwrap_or(INLINE);
        parameters = parameters.with_inline(limit).map_err(invalid)?;
    }
    if call.is("trickle")? {
        parameters = parameters.with_layout(Layout::Trickle);
    }
    Ok(parameters)
}

/// Bytes of the largest block that a CID holds, unless told.
const INLINE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_go_reads_numbers() {
        for text in ["0644", "0o644", "420"] {
            assert_eq!(mode(text).ok(), Some(0o644), "{text}");
        }
        for text in ["0689", "rw-r--r--", "-1", "0o"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
