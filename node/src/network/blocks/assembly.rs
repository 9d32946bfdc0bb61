//! A block that is being put together.

use bytes::Bytes;

use crate::store::{LARGE, PAGE};

/// The bytes of a block, as far as they came.
pub(super) struct Assembly {
    len: usize,
    /// The block behind what is left of a page, so that it begins with one and can go to a disk as it is.
    data: Vec<u8>,
    begin: usize,
}

impl Assembly {
    /// Of a block of so many bytes.
    pub(super) fn new(len: usize) -> Self {
        Self { len, data: Vec::new(), begin: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.data.len() + bytes.len() > self.data.capacity() {
            self.make_room(bytes.len());
        }
        self.data.extend_from_slice(bytes);
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.data).slice(self.begin..)
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.data.capacity()
    }

    /// For the beginning of a block, then for all of it: memory grows with what has come, not with what was announced, and what
    /// has come is moved once.
    fn make_room(&mut self, more: usize) {
        let held = &self.data[self.begin..];
        let most = if held.is_empty() { FIRST_ROOM } else { self.len };
        let room = self.len.min(most).max(held.len() + more);
        if self.len < LARGE {
            return self.data.reserve_exact(room - held.len());
        }
        let mut data = Vec::<u8>::with_capacity(room + PAGE);
        let begin = data.as_ptr().align_offset(PAGE);
        data.resize(begin, 0);
        data.extend_from_slice(held);
        (self.data, self.begin) = (data, begin);
    }
}

/// Room for the beginning of a block, in bytes: an eighth of the longest, so that a stranger who has us keep room has sent as
/// much as that.
pub(super) const FIRST_ROOM: usize = 256 * 1024;
