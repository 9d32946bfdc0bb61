//! What of a message of Kademlia this node writes and reads by itself. See the libp2p specification "kad-dht", "RPC messages".

/// A question or an answer.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Message {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) key: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub(super) record: Option<Record>,
    #[prost(message, repeated, tag = "9")]
    pub(super) providers: Vec<Peer>,
}

pub(super) const PUT_VALUE: i32 = 0;
pub(super) const GET_VALUE: i32 = 1;
pub(super) const ADD_PROVIDER: i32 = 2;

/// A value.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// A peer and how to reach it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Peer {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) addresses: Vec<Vec<u8>>,
    #[prost(int32, tag = "3")]
    pub(super) connection: i32,
}

pub(super) const CONNECTED: i32 = 1;
