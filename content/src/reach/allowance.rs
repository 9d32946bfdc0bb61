//! What may be sent through a relay, which carries only so much before it hangs up.

/// Bytes of blocks that may yet go to a peer through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    left: u64,
}

impl Allowance {
    /// For a connection on which the relay carries `limit` bytes each way; none: it names no limit, and ours is the usual one.
    pub fn of(limit: Option<u64>) -> Self {
        Self { left: limit.unwrap_or(USUAL).saturating_sub(OTHER) }
    }

    /// Whether a block of this length may go.
    pub fn covers(&self, len: usize) -> bool {
        (len as u64).saturating_add(HEAD) <= self.left
    }

    /// A block of this length goes, if it may.
    pub fn take(&mut self, len: usize) -> bool {
        let covered = self.covers(len);
        if covered {
            self.left -= len as u64 + HEAD;
        }
        covered
    }
}

/// What relays of Go and Rust carry each way.
const USUAL: u64 = 128 * 1024;
/// For handshakes, identification, wants and the way to a direct connection.
const OTHER: u64 = 32 * 1024;
/// What goes with a block.
const HEAD: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_until_the_allowance_is_used_up_and_not_one_byte_more() {
        let mut allowance = Allowance::of(Some(OTHER + 2 * (1000 + HEAD)));

        assert!(allowance.take(1000));
        assert!(!allowance.take(1001));
        assert!(allowance.take(1000));
        assert!(!allowance.take(0));
    }

    #[test]
    fn a_relay_that_carries_little_carries_no_block() {
        assert!(!Allowance::of(Some(OTHER)).covers(0));
        assert!(Allowance::of(None).covers(64 * 1024));
        assert!(!Allowance::of(None).covers(128 * 1024));
        assert!(!Allowance::of(None).covers(usize::MAX));
    }
}
