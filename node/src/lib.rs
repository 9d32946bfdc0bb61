//! The Cidra node: network, store, local API and the command line.

pub mod add;
pub mod api;
pub mod cli;
pub mod config;
pub mod download;
pub mod gateway;
pub mod http;
pub mod identity;
pub mod keys;
pub mod metrics;
pub mod names;
pub mod network;
pub mod node;
pub mod pool;
pub mod repository;
pub mod store;
