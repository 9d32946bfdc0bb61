//! Standard input, which can be read only once, while a command may have to begin anew.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;

use super::failure::{Failure, Outcome};

/// Standard input, and what was read of it.
#[derive(Debug, Default)]
pub(super) struct StandardInput {
    file: Option<tokio::fs::File>,
    /// All of it, where it is short.
    kept: Option<Bytes>,
    read: u64,
}

impl StandardInput {
    /// Begins to read it. Fails when something was read before.
    pub(super) fn begin(&mut self) -> Outcome {
        if self.read > 0 {
            let what = "whoever did the work went away, and standard input cannot be read a second time";
            return Err(Failure::failed(format!("{what}: run the command again")));
        }
        Ok(())
    }

    /// The next bytes, at most `most` and fewer only at the end; none at the end.
    ///
    /// Bytes are lost where the future is dropped.
    pub(super) async fn next(&mut self, most: usize) -> Outcome<Bytes> {
        if self.file.is_none() {
            let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| unreadable(&error))?;
            self.file = Some(tokio::fs::File::from_std(input.into()));
        }
        let file = self.file.as_mut().expect("just opened");
        let mut buffer = BytesMut::with_capacity(most);
        // A pipe gives 64 KiB at a time.
        while buffer.len() < most {
            let room = (most - buffer.len()) as u64;
            match file.take(room).read_buf(&mut buffer).await.map_err(|error| unreadable(&error))? {
                0 => break,
                count => self.read += count as u64,
            }
        }
        Ok(buffer.freeze())
    }

    /// All of it, but no more than `most` bytes. It can be asked for again.
    pub(super) fn whole(&mut self, most: u64) -> Outcome<Bytes> {
        if self.kept.is_none() {
            let mut bytes = Vec::new();
            let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| unreadable(&error))?;
            File::from(input).take(most).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
            self.kept = Some(bytes.into());
        }
        Ok(self.kept.clone().expect("just read"))
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::because("cannot read standard input", error)
}
