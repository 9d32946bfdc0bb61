//! What needs a network with nothing but its hosts: peers that find each other on it, and `cidra send`.
//!
//! Each test makes a network of namespaces, which takes root; without, it prints `skipped: …`.

#[path = "send/mdns.rs"]
mod mdns;
