//! Which protocol two sides agree on for a stream (multistream-select 1.0.0), as somebody hears who listens to both.
//!
//! The dialer proposes names one after the other, and the listener repeats the one that it takes. What counts bytes by protocol
//! reads along, whoever negotiates and however. A name is agreed on only when both have said it: no stranger can make up others
//! than this side speaks.

/// A negotiation that is listened to.
#[derive(Debug, Default)]
pub struct Negotiation {
    dialer: Lines,
    listener: Lines,
    proposed: Option<String>,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who opened the stream.
    Dialer,
    /// The other.
    Listener,
}

impl Side {
    /// The one that it talks to.
    pub fn other(self) -> Side {
        match self {
            Side::Dialer => Side::Listener,
            Side::Listener => Side::Dialer,
        }
    }
}

/// How a negotiation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both want this.
    Agreed {
        /// Its name.
        protocol: String,
        /// Bytes that the dialer has said in it already: it need not wait for the answer.
        dialer: u64,
        /// Bytes that the listener has said in it already.
        listener: u64,
    },
    /// What was said is no negotiation.
    Unknown,
}

impl Negotiation {
    /// The next bytes that a side says; the outcome, once. Nothing more is to be heard after it.
    pub fn hear(&mut self, side: Side, bytes: &[u8]) -> Option<Outcome> {
        match side {
            Side::Dialer => {
                self.dialer.push(bytes);
                while let Some(line) = self.dialer.next() {
                    if is_protocol(&line) {
                        self.proposed = Some(line);
                        self.dialer.settle();
                    }
                }
                None
            }
            Side::Listener => {
                self.listener.push(bytes);
                while let Some(line) = self.listener.next() {
                    if !is_protocol(&line) {
                        continue;
                    }
                    if self.proposed.as_ref() != Some(&line) {
                        return Some(Outcome::Unknown);
                    }
                    self.listener.settle();
                    let (dialer, listener) = (self.dialer.unsettled(), self.listener.unsettled());
                    return Some(Outcome::Agreed { protocol: line, dialer, listener });
                }
                self.listener.is_over.then_some(Outcome::Unknown)
            }
        }
    }
}

/// Not the head of the conversation, and not a word such as `na`.
fn is_protocol(line: &str) -> bool {
    line.starts_with('/') && line != HEAD
}

const HEAD: &str = "/multistream/1.0.0";

/// Lines with their lengths before them, as they come.
#[derive(Debug, Default)]
struct Lines {
    held: Vec<u8>,
    /// All bytes that came, those taken as lines, and those up to the end of the last line that mattered.
    heard: u64,
    taken: u64,
    settled: u64,
    /// What came is no line.
    is_over: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.heard += bytes.len() as u64;
        if !self.is_over {
            self.held.extend_from_slice(bytes);
        }
    }

    fn next(&mut self) -> Option<String> {
        let (head, length) = match self.held[..] {
            [length, ..] if length < 0x80 => (1, usize::from(length)),
            [low, high, ..] => (2, usize::from(low & 0x7f) | usize::from(high) << 7),
            _ => return None,
        };
        let line = (1..=MAX_LINE).contains(&length).then(|| self.held.get(head..head + length));
        let line = match line {
            Some(None) => return None,
            Some(Some(line)) => line.strip_suffix(b"\n").and_then(|line| String::from_utf8(line.to_vec()).ok()),
            None => None,
        };
        match line {
            Some(line) => {
                self.held.drain(..head + length);
                self.taken += (head + length) as u64;
                Some(line)
            }
            None => {
                self.is_over = true;
                self.held = Vec::new();
                None
            }
        }
    }

    fn settle(&mut self) {
        self.settled = self.taken;
    }

    fn unsettled(&self) -> u64 {
        self.heard - self.settled
    }
}

/// Longer names are not followed: what is held of a side is a line, and what came with its end.
pub const MAX_LINE: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(text: &str) -> Vec<u8> {
        let length = text.len() + 1;
        let head = if length < 0x80 { vec![length as u8] } else { vec![length as u8 | 0x80, (length >> 7) as u8] };
        [&head, text.as_bytes(), b"\n"].concat()
    }

    fn said(lines: &[&str], then: &[u8]) -> Vec<u8> {
        lines.iter().flat_map(|text| line(text)).chain(then.iter().copied()).collect()
    }

    fn agreed(protocol: &str, dialer: u64, listener: u64) -> Option<Outcome> {
        Some(Outcome::Agreed { protocol: protocol.to_owned(), dialer, listener })
    }

    #[test]
    fn the_last_proposal_is_agreed_on_when_it_is_repeated() {
        let mut negotiation = Negotiation::default();

        assert_eq!(negotiation.hear(Side::Dialer, &said(&[HEAD, "/new/1"], b"")), None);
        assert_eq!(negotiation.hear(Side::Listener, &said(&[HEAD, "na"], b"")), None);
        assert_eq!(negotiation.hear(Side::Dialer, &said(&["/old/1"], b"")), None);
        assert_eq!(negotiation.hear(Side::Listener, &said(&["/old/1"], b"welcome")), agreed("/old/1", 0, 7));
    }

    #[test]
    fn a_dialer_that_does_not_wait_is_counted_from_its_proposal() {
        let mut negotiation = Negotiation::default();

        assert_eq!(negotiation.hear(Side::Dialer, &said(&[HEAD, "/kad/1"], b"\x05hello and more")), None);
        assert_eq!(negotiation.hear(Side::Dialer, b" of it"), None);
        assert_eq!(negotiation.hear(Side::Listener, &said(&[HEAD, "/kad/1"], b"")), agreed("/kad/1", 21, 0));
    }

    #[test]
    fn a_name_that_nobody_proposed_is_none() {
        let mut negotiation = Negotiation::default();
        negotiation.hear(Side::Dialer, &said(&[HEAD, "/kad/1"], b""));

        assert_eq!(negotiation.hear(Side::Listener, &said(&[HEAD, "/made/up"], b"")), Some(Outcome::Unknown));
    }

    #[test]
    fn the_longest_name_is_followed_and_a_longer_one_is_not() {
        for (length, known) in [(MAX_LINE - 1, true), (MAX_LINE, false)] {
            let name = format!("/{}", "x".repeat(length - 1));
            let mut negotiation = Negotiation::default();
            negotiation.hear(Side::Dialer, &said(&[HEAD, &name], b""));

            let outcome = negotiation.hear(Side::Listener, &said(&[HEAD, &name], b""));

            assert_eq!(outcome, if known { agreed(&name, 0, 0) } else { Some(Outcome::Unknown) });
        }
    }

    #[test]
    fn what_is_no_negotiation_is_given_up_and_not_held() {
        let mut negotiation = Negotiation::default();
        for _ in 0..100 {
            assert_eq!(negotiation.hear(Side::Dialer, &[0xff; 1000]), None);
        }
        assert!(negotiation.dialer.held.is_empty());
        assert_eq!(negotiation.hear(Side::Listener, &[0xff; 1000]), Some(Outcome::Unknown));
    }

    proptest! {
        #[test]
        fn it_is_the_same_however_it_is_cut(cuts in prop::collection::vec(1..9_usize, 0..40)) {
            let dialer = said(&[HEAD, "/new/1", "/old/1"], b"request");
            let listener = said(&[HEAD, "na", "/old/1"], b"");
            let mut negotiation = Negotiation::default();
            let mut outcome = None;
            for (side, mut rest) in [(Side::Dialer, &dialer[..]), (Side::Listener, &listener[..])] {
                for cut in &cuts {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    outcome = outcome.or(negotiation.hear(side, piece));
                    rest = after;
                }
                if outcome.is_none() {
                    outcome = negotiation.hear(side, rest);
                }
            }
            prop_assert_eq!(outcome, agreed("/old/1", 7, 0));
        }
    }
}
