//! The gateway over real sockets, each test named after the rule of a specification that it holds.

#[path = "gateway/dnslink.rs"]
mod dnslink;
#[path = "gateway/hostile.rs"]
mod hostile;
#[path = "gateway/house.rs"]
mod house;
#[path = "gateway/names.rs"]
mod names;
#[path = "gateway/native.rs"]
mod native;
#[path = "gateway/path.rs"]
mod path;
#[path = "gateway/ranges.rs"]
mod ranges;
#[path = "gateway/redirects.rs"]
mod redirects;
#[path = "gateway/routing.rs"]
mod routing;
#[path = "gateway/subdomain.rs"]
mod subdomain;
#[path = "gateway/trustless.rs"]
mod trustless;
