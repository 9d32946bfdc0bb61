//! How files and folders become blocks: all that decides their CIDs.

use clap::Args;

use crate::cli::call::Call;

/// The form that what is added gets.
#[derive(Args, Clone)]
#[command(next_help_heading = "What decides CIDs")]
pub(super) struct Form {
    /// How files become blocks, and so which CIDs they get
    #[arg(long, default_value = "unixfs-v1-2025", value_parser = ["unixfs-v1-2025", "unixfs-v0-2015"])]
    profile: String,
    /// Cut files into pieces of N bytes: size-N
    #[arg(short = 's', long, value_name = "size-N", value_parser = chunker)]
    chunker: Option<String>,
    /// Leave the pieces of files as they are, or wrap each
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    raw_leaves: Option<bool>,
    /// The version of CIDs
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    cid_version: Option<u8>,
    /// The hash function
    #[arg(long, value_name = "NAME")]
    hash: Option<String>,
    /// Lay the leaves of a file ever deeper below its root, for reading from its beginning
    #[arg(short, long)]
    trickle: bool,
    /// Most links of a node within a file
    #[arg(long, value_name = "N")]
    max_file_links: Option<usize>,
    /// Slots of a shard of a large folder: a power of two from 8 to 1024
    #[arg(long, value_name = "N")]
    max_hamt_fanout: Option<u32>,
    /// Keep small blocks within their CIDs
    #[arg(long)]
    inline: bool,
    /// The largest of such blocks, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 32)]
    inline_limit: usize,
    /// Store the permissions of each entry; its leaves are wrapped then
    #[arg(long)]
    pub(super) preserve_mode: bool,
    /// Store the time of the last change of each entry; its leaves are wrapped then
    #[arg(long)]
    pub(super) preserve_mtime: bool,
    /// Store these permissions of all entries, such as 0644
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Store this time of all entries, in seconds since 1970
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    mtime: Option<i64>,
    /// The nanoseconds of that time
    #[arg(long, value_name = "N", requires = "mtime")]
    mtime_nsecs: Option<u32>,
}

impl Form {
    pub(super) fn into_call(self, call: Call) -> Call {
        let call = call
            .option("profile", &self.profile)
            .maybe("chunker", self.chunker)
            .maybe("raw-leaves", self.raw_leaves)
            .maybe("cid-version", self.cid_version)
            .maybe("hash", self.hash)
            .maybe("max-file-links", self.max_file_links)
            .maybe("max-hamt-fanout", self.max_hamt_fanout)
            .maybe("mode", self.mode)
            .maybe("mtime", self.mtime)
            .maybe("mtime-nsecs", self.mtime_nsecs);
        let chosen = [
            ("trickle", self.trickle),
            ("inline", self.inline),
            ("preserve-mode", self.preserve_mode),
            ("preserve-mtime", self.preserve_mtime),
        ];
        let call = chosen.iter().filter(|(_, is_on)| *is_on).fold(call, |call, (name, _)| call.flag(name, true));
        if self.inline { call.option("inline-limit", self.inline_limit.to_string()) } else { call }
    }
}

fn chunker(text: &str) -> Result<String, String> {
    let size = text.strip_prefix("size-").and_then(|size| size.parse::<usize>().ok());
    match size {
        Some(1..=LARGEST_CHUNK) => Ok(text.to_owned()),
        _ => Err(format!("write size-N, with N from 1 to {LARGEST_CHUNK} bytes")),
    }
}

/// A block with its wrapping is at most 2 MiB.
const LARGEST_CHUNK: usize = 2 * 1024 * 1024 - 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunkers_that_make_blocks_of_a_legal_size_are_taken() {
        assert!(chunker("size-1").is_ok() && chunker(&format!("size-{LARGEST_CHUNK}")).is_ok());
        for text in ["size-0", &format!("size-{}", LARGEST_CHUNK + 1), "size-", "rabin", "buzhash", "262144", "size--1"]
        {
            assert!(chunker(text).is_err(), "{text}");
        }
    }
}
