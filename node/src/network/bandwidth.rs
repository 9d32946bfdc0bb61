//! How many bytes go to and fro, in all, with each peer and in each protocol, and how fast.
//!
//! Counted is what streams carry, negotiation included but for a protocol's own; what encryption and the transports add below is
//! not, as in Kubo. Which protocol a stream has is overheard: the behaviours of libp2p negotiate by themselves.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use cidra_content::negotiation::{Negotiation, Outcome, Side};
use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};

/// Bytes that went to and fro, and how many a second do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bandwidth {
    /// Bytes that came in.
    pub received: u64,
    /// Bytes that went out.
    pub sent: u64,
    /// Bytes that come in a second, over the last seconds.
    pub receiving: f64,
    /// Bytes that go out a second, over the last seconds.
    pub sending: f64,
}

/// What counts the bytes of all connections.
#[derive(Debug, Default)]
pub(super) struct Meter {
    all: Arc<Flow>,
    gauges: Mutex<Gauges>,
}

#[derive(Debug, Default)]
struct Gauges {
    all: Gauge,
    /// Of the peers that are connected; at most twice as many as were when the last one came.
    peers: BTreeMap<PeerId, (Arc<Flow>, Gauge)>,
    kept: usize,
    /// What both sides of a stream named, so only what this node speaks; at most [`MAX_PROTOCOLS`].
    protocols: BTreeMap<String, (Arc<Flow>, Gauge)>,
}

/// More than this node speaks; bytes of others would not be counted by protocol.
const MAX_PROTOCOLS: usize = 64;

/// Bytes both ways.
#[derive(Debug, Default)]
struct Flow {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Flow {
    /// Bytes that a side said to the other, of which `own` is this one.
    fn add(&self, side: Side, own: Side, bytes: u64) {
        let count = if side == own { &self.sent } else { &self.received };
        count.fetch_add(bytes, Ordering::Relaxed);
    }

    fn counts(&self) -> [u64; 2] {
        [&self.received, &self.sent].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Meter {
    /// A connection whose bytes are counted.
    pub(super) fn count(self: &Arc<Self>, peer: PeerId, connection: StreamMuxerBox) -> StreamMuxerBox {
        let mut gauges = self.gauges();
        if gauges.peers.len() > 2 * gauges.kept + ROOM {
            gauges.forget_the_gone();
        }
        let (flow, _) = gauges.peers.entry(peer).or_default();
        let flows = [self.all.clone(), flow.clone()];
        StreamMuxerBox::new(Connection { connection, flows, meter: self.clone() })
    }

    /// What went to and fro in all, or with a peer while it was connected.
    pub(super) fn bandwidth(&self, peer: Option<PeerId>) -> Bandwidth {
        let gauges = self.gauges();
        match peer {
            None => gauges.all.read(&self.all),
            Some(peer) => gauges.peers.get(&peer).map(|(flow, gauge)| gauge.read(flow)).unwrap_or_default(),
        }
    }

    /// What went to and fro in streams of a protocol.
    pub(super) fn bandwidth_of(&self, protocol: &str) -> Bandwidth {
        self.gauges().protocols.get(protocol).map(|(flow, gauge)| gauge.read(flow)).unwrap_or_default()
    }

    /// What counts a protocol, unless there are too many.
    fn flow_of(&self, protocol: String) -> Option<Arc<Flow>> {
        let mut gauges = self.gauges();
        if gauges.protocols.len() == MAX_PROTOCOLS && !gauges.protocols.contains_key(&protocol) {
            return None;
        }
        Some(gauges.protocols.entry(protocol).or_default().0.clone())
    }

    /// Measures how fast it goes; about once a second.
    pub(super) fn tick(&self, now: Instant) {
        let mut gauges = self.gauges();
        gauges.forget_the_gone();
        gauges.all.tick(&self.all, now);
        let Gauges { peers, protocols, .. } = &mut *gauges;
        peers.values_mut().chain(protocols.values_mut()).for_each(|(flow, gauge)| gauge.tick(flow, now));
    }

    fn gauges(&self) -> MutexGuard<'_, Gauges> {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Peers that come within a second are few; beyond this those that are gone are looked for.
const ROOM: usize = 64;

impl Gauges {
    /// A peer whose connections are gone leaves nothing but its part of the whole.
    fn forget_the_gone(&mut self) {
        self.peers.retain(|_, (flow, _)| Arc::strong_count(flow) > 1);
        self.kept = self.peers.len();
    }
}

/// How fast a flow is.
#[derive(Debug, Default)]
struct Gauge {
    last: Option<(Instant, [u64; 2])>,
    rates: [f64; 2],
}

impl Gauge {
    /// An average in which a second counts less the older it is, as Kubo's.
    fn tick(&mut self, flow: &Flow, now: Instant) {
        let counts = flow.counts();
        if let Some((then, before)) = self.last {
            let seconds = now.duration_since(then).as_secs_f64();
            if seconds <= 0.0 {
                return;
            }
            let weight = 1.0 - (-seconds).exp();
            for (rate, (count, before)) in self.rates.iter_mut().zip(counts.into_iter().zip(before)) {
                *rate += weight * ((count - before) as f64 / seconds - *rate);
                if *rate < 1.0 {
                    *rate = 0.0;
                }
            }
        }
        self.last = Some((now, counts));
    }

    fn read(&self, flow: &Flow) -> Bandwidth {
        let ([received, sent], [receiving, sending]) = (flow.counts(), self.rates);
        Bandwidth { received, sent, receiving, sending }
    }
}

/// A connection whose streams are counted.
struct Connection {
    connection: StreamMuxerBox,
    flows: [Arc<Flow>; 2],
    meter: Arc<Meter>,
}

impl Connection {
    /// A stream of it on which this side is `own`.
    fn stream(&self, stream: SubstreamBox, own: Side) -> Counted {
        let protocol = Protocol::Negotiated(Box::default(), self.meter.clone());
        Counted { stream, flows: self.flows.clone(), own, protocol }
    }
}

impl StreamMuxer for Connection {
    type Substream = Counted;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Counted>> {
        let polled = Pin::new(&mut self.connection).poll_inbound(context);
        polled.map_ok(|stream| self.stream(stream, Side::Listener))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Counted>> {
        let polled = Pin::new(&mut self.connection).poll_outbound(context);
        polled.map_ok(|stream| self.stream(stream, Side::Dialer))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_close(context)
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.connection).poll(context)
    }
}

/// A stream whose bytes are counted.
struct Counted {
    stream: SubstreamBox,
    flows: [Arc<Flow>; 2],
    own: Side,
    protocol: Protocol,
}

/// What a stream is for.
enum Protocol {
    /// The two sides have not agreed yet.
    Negotiated(Box<Negotiation>, Arc<Meter>),
    Known(Arc<Flow>),
    Unknown,
}

impl Counted {
    fn is_negotiated(&self) -> bool {
        matches!(self.protocol, Protocol::Negotiated(..))
    }

    /// So many bytes were said by a side; while they negotiate also which.
    fn count(&mut self, side: Side, bytes: u64, said: &[u8]) {
        self.flows.iter().for_each(|flow| flow.add(side, self.own, bytes));
        match &mut self.protocol {
            Protocol::Negotiated(negotiation, meter) => {
                let next = match negotiation.hear(side, said) {
                    None => return,
                    Some(Outcome::Unknown) => None,
                    Some(Outcome::Agreed { protocol, dialer, listener }) => meter.flow_of(protocol).inspect(|flow| {
                        flow.add(Side::Dialer, self.own, dialer);
                        flow.add(Side::Listener, self.own, listener);
                    }),
                };
                self.protocol = next.map_or(Protocol::Unknown, Protocol::Known);
            }
            Protocol::Known(flow) => flow.add(side, self.own, bytes),
            Protocol::Unknown => {}
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(bytes)) = polled {
            let side = self.own.other();
            self.count(side, bytes as u64, &buffer[..bytes]);
        }
        polled
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_negotiated()
            && let Some(first) = buffers.iter_mut().find(|buffer| !buffer.is_empty())
        {
            return self.poll_read(context, first);
        }
        let polled = Pin::new(&mut self.stream).poll_read_vectored(context, buffers);
        if let Poll::Ready(Ok(bytes)) = polled {
            let side = self.own.other();
            self.count(side, bytes as u64, &[]);
        }
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            let side = self.own;
            self.count(side, written as u64, &bytes[..written]);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_negotiated()
            && let Some(first) = buffers.iter().find(|buffer| !buffer.is_empty())
        {
            return self.poll_write(context, first);
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        if let Poll::Ready(Ok(bytes)) = polled {
            let side = self.own;
            self.count(side, bytes as u64, &[]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_rises_to_what_flows_and_falls_to_nothing() {
        let (flow, mut gauge) = (Flow::default(), Gauge::default());
        let mut now = Instant::now();
        gauge.tick(&flow, now);
        for _ in 0..20 {
            now += Duration::from_secs(1);
            flow.received.fetch_add(1000, Ordering::Relaxed);
            gauge.tick(&flow, now);
        }
        let flowing = gauge.read(&flow);
        for _ in 0..20 {
            now += Duration::from_secs(1);
            gauge.tick(&flow, now);
        }

        assert!((flowing.receiving - 1000.0).abs() < 1.0 && flowing.sending == 0.0, "{flowing:?}");
        assert_eq!(gauge.read(&flow), Bandwidth { received: 20_000, ..Bandwidth::default() });
    }

    #[test]
    fn two_ticks_at_once_divide_by_nothing() {
        let (flow, mut gauge) = (Flow::default(), Gauge::default());
        let now = Instant::now();
        flow.sent.fetch_add(5, Ordering::Relaxed);

        gauge.tick(&flow, now);
        gauge.tick(&flow, now);

        assert_eq!(gauge.read(&flow), Bandwidth { sent: 5, ..Bandwidth::default() });
    }

    #[test]
    fn peers_that_are_gone_are_forgotten() {
        let mut gauges = Gauges::default();
        let here = Arc::new(Flow::default());
        for number in 0..1000 {
            let flow = if number == 7 { here.clone() } else { Arc::default() };
            gauges.peers.insert(PeerId::random(), (flow, Gauge::default()));
        }

        gauges.forget_the_gone();

        assert_eq!((gauges.peers.len(), gauges.kept), (1, 1));
    }

    #[test]
    fn so_many_protocols_are_counted_and_no_more() {
        let meter = Meter::default();
        for number in 0..MAX_PROTOCOLS {
            assert!(meter.flow_of(format!("/{number}")).is_some());
        }

        assert!(meter.flow_of("/one/more".to_owned()).is_none());
        assert!(meter.flow_of("/0".to_owned()).is_some(), "the others go on");
    }
}
