//! AutoNAT v2, by which peers find out from one another whether they can be dialled: its messages, and whom a server serves.
//!
//! The client names addresses and a nonce; the server dials one of them and says the nonce there, on a connection of its own.
//! Where the address is of another host than the client's, the client pays first with as many bytes as a dial could cost that
//! host. Addresses are bytes here: who knows multiaddrs reads them.

mod guard;
mod pricing;

pub use guard::{Guard, Refusal};
pub use pricing::{is_fair, price};

use crate::dag_pb::WireError as ProtobufError;
use crate::dag_pb::wire::{Fields, Value, put_bytes, put_fixed64, put_varint};

/// The protocol on which a client asks.
pub const DIAL_REQUEST: &str = "/libp2p/autonat/2/dial-request";
/// The protocol on which a server says the nonce.
pub const DIAL_BACK: &str = "/libp2p/autonat/2/dial-back";
/// The longest message, in bytes; a longer one ends the stream.
pub const MAX_MESSAGE: usize = 8 * 1024;
/// Addresses of one request that are looked at; the rest is left out.
pub const MAX_ADDRESSES: usize = 50;
/// What a client sends of what it pays at a time, in bytes.
pub const PIECE: usize = 4096;

/// What is said on a stream of [`DIAL_REQUEST`], by either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The client: dial the first of these that you can, the best first.
    Request {
        /// Multiaddrs.
        addresses: Vec<Vec<u8>>,
        /// To be said there.
        nonce: u64,
    },
    /// The server: this is what came of it.
    Response(Response),
    /// The server: pay first.
    Pay {
        /// For which of the addresses.
        index: usize,
        /// Bytes of [`Message::Paid`].
        bytes: u64,
    },
    /// The client: so many bytes more.
    Paid {
        /// How many of them were in this message.
        bytes: usize,
    },
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The address was dialled and the nonce said there.
    Reached {
        /// Which of the addresses.
        index: usize,
    },
    /// The address was dialled, and nobody answered, or another.
    Unreachable {
        /// Which of the addresses.
        index: usize,
    },
    /// None of the addresses is one that this server dials.
    DialRefused,
    /// Too many requests.
    Rejected,
    /// Something went wrong at the server.
    Failed,
}

const REQUEST: u32 = 1;
const RESPONSE: u32 = 2;
const PAY: u32 = 3;
const PAID: u32 = 4;
const OK: u64 = 200;
const DIAL_ERROR: u64 = 100;
const DIAL_BACK_ERROR: u64 = 101;
const REJECTED: u64 = 100;
const REFUSED: u64 = 101;

impl Message {
    /// Its bytes, without the length that goes before them.
    pub fn encode(&self) -> Vec<u8> {
        let mut inner = Vec::new();
        let number = match self {
            Self::Request { addresses, nonce } => {
                addresses.iter().for_each(|address| put_bytes(&mut inner, 1, address));
                put_fixed64(&mut inner, 2, *nonce);
                REQUEST
            }
            Self::Response(response) => {
                let (status, index, dial) = match *response {
                    Response::Reached { index } => (OK, index, OK),
                    Response::Unreachable { index } => (OK, index, DIAL_ERROR),
                    Response::DialRefused => (REFUSED, 0, 0),
                    Response::Rejected => (REJECTED, 0, 0),
                    Response::Failed => (0, 0, 0),
                };
                put_varint(&mut inner, 1, status);
                put_varint(&mut inner, 2, index as u64);
                put_varint(&mut inner, 3, dial);
                RESPONSE
            }
            Self::Pay { index, bytes } => {
                put_varint(&mut inner, 1, *index as u64);
                put_varint(&mut inner, 2, *bytes);
                PAY
            }
            Self::Paid { bytes } => {
                put_bytes(&mut inner, 1, &vec![0; (*bytes).min(PIECE)]);
                PAID
            }
        };
        let mut out = Vec::new();
        put_bytes(&mut out, number, &inner);
        out
    }

    /// Reads one. What is not known in it is passed over.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut message = None;
        for field in Fields::new(bytes) {
            message = match field? {
                (REQUEST, Value::Bytes(inner)) => Some(request(inner)?),
                (RESPONSE, Value::Bytes(inner)) => Some(Self::Response(response(inner)?)),
                (PAY, Value::Bytes(inner)) => {
                    let [index, bytes, _] = numbers(inner)?;
                    Some(Self::Pay { index: index as usize, bytes })
                }
                (PAID, Value::Bytes(inner)) => Some(paid(inner)?),
                _ => message,
            };
        }
        message.ok_or(MessageError::Empty)
    }
}

fn request(bytes: &[u8]) -> Result<Message, MessageError> {
    let (mut addresses, mut nonce) = (Vec::new(), 0);
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Bytes(address)) if addresses.len() < MAX_ADDRESSES => addresses.push(address.to_vec()),
            (2, Value::Fixed64(number)) => nonce = number,
            _ => {}
        }
    }
    Ok(Message::Request { addresses, nonce })
}

fn response(bytes: &[u8]) -> Result<Response, MessageError> {
    let [status, index, dial] = numbers(bytes)?;
    let index = index as usize;
    Ok(match (status, dial) {
        (OK, OK) => Response::Reached { index },
        (OK, DIAL_ERROR | DIAL_BACK_ERROR) => Response::Unreachable { index },
        (REFUSED, _) => Response::DialRefused,
        (REJECTED, _) => Response::Rejected,
        _ => Response::Failed,
    })
}

fn paid(bytes: &[u8]) -> Result<Message, MessageError> {
    let mut paid = 0;
    for field in Fields::new(bytes) {
        if let (1, Value::Bytes(data)) = field? {
            paid += data.len();
        }
    }
    Ok(Message::Paid { bytes: paid })
}

/// The first three fields, which are numbers.
fn numbers(bytes: &[u8]) -> Result<[u64; 3], MessageError> {
    let mut numbers = [0; 3];
    for field in Fields::new(bytes) {
        if let (number @ 1..=3, Value::Varint(value)) = field? {
            numbers[number as usize - 1] = value;
        }
    }
    Ok(numbers)
}

/// What a server says on a stream of [`DIAL_BACK`], without the length before it.
pub fn dial_back(nonce: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_fixed64(&mut out, 1, nonce);
    out
}

/// The nonce in what a server says there.
pub fn dialled_back(bytes: &[u8]) -> Result<u64, MessageError> {
    for field in Fields::new(bytes) {
        if let (1, Value::Fixed64(nonce)) = field? {
            return Ok(nonce);
        }
    }
    Err(MessageError::Empty)
}

/// What a client answers there, without the length before it: that it heard.
pub fn heard_dial_back() -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, 1, 0);
    out
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Nothing that is known stands in it.
    #[error("no message of AutoNAT")]
    Empty,
    /// It is no protobuf.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_message() -> impl Strategy<Value = Message> {
        let index = 0..MAX_ADDRESSES;
        let response = prop_oneof![
            index.clone().prop_map(|index| Response::Reached { index }),
            index.clone().prop_map(|index| Response::Unreachable { index }),
            Just(Response::DialRefused),
            Just(Response::Rejected),
            Just(Response::Failed),
        ];
        prop_oneof![
            (prop::collection::vec(any::<Vec<u8>>(), 0..MAX_ADDRESSES), any::<u64>())
                .prop_map(|(addresses, nonce)| Message::Request { addresses, nonce }),
            response.prop_map(Message::Response),
            (index, any::<u64>()).prop_map(|(index, bytes)| Message::Pay { index, bytes }),
            (0..=PIECE).prop_map(|bytes| Message::Paid { bytes }),
        ]
    }

    proptest! {
        #[test]
        fn messages_come_back(message in any_message()) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            let _ = Message::decode(&bytes);
            let _ = dialled_back(&bytes);
        }

        #[test]
        fn a_nonce_comes_back(nonce: u64) {
            prop_assert_eq!(dialled_back(&dial_back(nonce)), Ok(nonce));
        }
    }

    #[test]
    fn addresses_beyond_the_most_are_left_out() {
        let request = Message::Request { addresses: vec![vec![4]; MAX_ADDRESSES + 1], nonce: 7 };

        let Ok(Message::Request { addresses, nonce: 7 }) = Message::decode(&request.encode()) else { panic!() };

        assert_eq!(addresses.len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_request_is_written_as_others_write_it() {
        let request = Message::Request { addresses: vec![vec![1, 2]], nonce: 1 };

        let written = [0x0a, 13, 0x0a, 2, 1, 2, 0x11, 1, 0, 0, 0, 0, 0, 0, 0];

        assert_eq!(request.encode(), written);
    }
}
