//! A TCP relay between two nodes of one host that counts what passes: the byte counter that no node can get wrong.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::Daemon;

/// Stands before one node: what connects to it reaches that node.
pub struct Relay {
    address: String,
    shared: Arc<Shared>,
}

impl Relay {
    /// A relay before this node.
    pub fn before(node: &Daemon) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of this host");
        let port = listener.local_addr().expect("it listens").port();
        let shared = Arc::new(Shared::default());
        let (target, counter) = (node.port(), Arc::clone(&shared));
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // The node is gone: so is the connection.
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { continue };
                carry(near, far, &counter);
            }
        });
        Relay { address: format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", node.peer()), shared }
    }

    /// The address by which the node is reached through this relay.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Bytes that came from the node so far.
    pub fn bytes(&self) -> u64 {
        *self.shared.bytes.lock().expect("no holder panics")
    }

    /// Waits until so many bytes have come from the node. Panics at the limit.
    pub fn wait_for(&self, bytes: u64, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut passed = self.shared.bytes.lock().expect("no holder panics");
        while *passed < bytes {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {bytes} bytes passed within {limit:?}", *passed);
            passed = self.shared.changed.wait_timeout(passed, left).expect("no holder panics").0;
        }
    }
}

#[derive(Default)]
struct Shared {
    bytes: Mutex<u64>,
    changed: Condvar,
}

fn carry(near: TcpStream, far: TcpStream, counter: &Arc<Shared>) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a file descriptor is free");
    let (from_near, to_far) = (clone(&near), clone(&far));
    thread::spawn(move || copy(from_near, to_far, |_| ()));
    let counter = Arc::clone(counter);
    thread::spawn(move || {
        copy(far, near, |count| {
            *counter.bytes.lock().expect("no holder panics") += count;
            counter.changed.notify_all();
        });
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut passed: impl FnMut(u64)) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        passed(count as u64);
    }
    // Both fail only when the other end is gone already.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
