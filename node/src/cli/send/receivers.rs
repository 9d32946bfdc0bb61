//! Who fetches, as a person sees it: a line for each on a terminal, how far they are, how fast, how long still; else a line when
//! one comes and when it has all.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Note;
use crate::cli::failure::Outcome;
use crate::cli::units::show_bytes;

/// All that have come so far.
pub(super) struct Receivers {
    total: u64,
    known: BTreeMap<String, Receiver>,
    display: Option<MultiProgress>,
    ticks: Interval,
}

/// What the node says of one.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct Said {
    peer: String,
    address: Option<Multiaddr>,
    bytes: u64,
    /// How much of all of it lies before the end of what went last, which need not be the furthest; none before the first block, and in
    /// what has too many.
    position: Option<u64>,
}

impl Said {
    fn reached(&self, total: u64) -> u64 {
        self.position.unwrap_or_default().max(self.bytes).min(total)
    }
}

struct Receiver {
    said: Said,
    name: String,
    bar: Option<ProgressBar>,
    pace: Pace,
    /// The furthest it was.
    reached: u64,
}

impl Receivers {
    /// `total` is how many bytes each gets that has nothing yet; `visible` is whether they are shown as they go.
    pub(super) fn new(total: u64, visible: bool) -> Self {
        let mut ticks = interval(REDRAW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { total, known: BTreeMap::new(), display: visible.then(MultiProgress::new), ticks }
    }

    /// Waits for `work` and draws meanwhile.
    pub(super) async fn watch<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                now = self.ticks.tick(), if self.display.is_some() => self.draw(now),
            }
        }
    }

    /// Takes in what the node says; gives an event for each of whom something is new.
    pub(super) fn update(&mut self, note: &Note, now: Instant) -> Outcome<Vec<Value>> {
        let Some(said) = note.get("Receivers") else { return Ok(vec![]) };
        let mut events = vec![];
        for said in Vec::<Said>::deserialize(said)? {
            if self.known.get(&said.peer).is_some_and(|receiver| receiver.said == said) {
                continue;
            }
            self.take(said.clone(), now);
            let address = said.address.as_ref().map(ToString::to_string);
            let reached = self.known.get(&said.peer).map(|receiver| receiver.reached);
            events.push(json!({"Event": "Receiver", "Peer": said.peer, "Address": address, "Bytes": said.bytes,
                "Position": reached, "Total": self.total}));
        }
        Ok(events)
    }

    fn take(&mut self, said: Said, now: Instant) {
        let total = self.total;
        let Some(receiver) = self.known.get_mut(&said.peer) else {
            let receiver = Receiver::new(said, total, now);
            self.begin(receiver);
            return;
        };
        let was = std::mem::replace(&mut receiver.said, said);
        receiver.reached = receiver.reached.max(receiver.said.reached(total));
        receiver.pace.at(receiver.said.bytes, now);
        // One that came and went between two looks is known by its machine when it comes again.
        let name = receiver.said.address.as_ref().and_then(host).filter(|name| *name != receiver.name);
        let is_fresh = name.is_some();
        if let Some(name) = name {
            receiver.bar.iter().for_each(|bar| bar.set_prefix(name.clone()));
            receiver.name = name;
        }
        if self.display.is_some() {
            return;
        }
        match (was.address, &receiver.said.address) {
            (Some(_), None) => say(&receiver.farewell(total)),
            (None, Some(_)) if is_fresh => say(&format!("{} fetches it", receiver.name)),
            (None, Some(_)) => say(&format!("{} is back", receiver.name)),
            _ => {}
        }
    }

    fn begin(&mut self, mut receiver: Receiver) {
        match &self.display {
            Some(display) if self.known.len() < MOST_SHOWN => {
                let bar = ProgressBar::new(self.total.max(1)).with_style(style());
                receiver.bar = Some(display.add(bar.with_prefix(receiver.name.clone())));
            }
            Some(_) => {}
            None => say(&format!("{} fetches it", receiver.name)),
        }
        self.known.insert(receiver.said.peer.clone(), receiver);
        self.draw(Instant::now());
    }

    fn draw(&mut self, now: Instant) {
        for receiver in self.known.values_mut() {
            let Some(bar) = &receiver.bar else { continue };
            bar.set_position(receiver.reached);
            bar.set_message(receiver.state(self.total, now));
        }
    }
}

/// Lines on the screen; further receivers are served and not shown.
const MOST_SHOWN: usize = 16;
const REDRAW_EVERY: Duration = Duration::from_millis(250);

fn style() -> ProgressStyle {
    let template = "  {prefix:<16} {bar:20} {binary_bytes:>10} of {binary_total_bytes:<10} {msg}";
    ProgressStyle::with_template(template).expect("a sound template").progress_chars("█▉▊▋▌▍▎▏ ")
}

/// On standard error. Where nobody can read it there is nothing left to do.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

impl Receiver {
    fn new(said: Said, total: u64, now: Instant) -> Self {
        let name = said.address.as_ref().and_then(host).unwrap_or_else(|| short(&said.peer));
        Self { name, bar: None, pace: Pace::new(said.bytes, now), reached: said.reached(total), said }
    }

    fn state(&self, total: u64, now: Instant) -> String {
        if self.reached >= total {
            return format!("done, {} at {}/s", show_bytes(self.said.bytes), show_bytes(self.pace.overall()));
        }
        if self.said.address.is_none() {
            return "gone".to_owned();
        }
        let rate = self.pace.now(now);
        match (total - self.reached).checked_div(rate) {
            None => "waiting".to_owned(),
            Some(seconds) => {
                format!("{}/s, {} left", show_bytes(rate), show_left(seconds.max(1)))
            }
        }
    }

    fn farewell(&self, total: u64) -> String {
        let sent = show_bytes(self.said.bytes);
        match self.reached >= total {
            true => format!("{} has all of it: {sent} at {}/s", self.name, show_bytes(self.pace.overall())),
            false => format!("{} left: {sent} sent to it", self.name),
        }
    }
}

/// The machine at an address; its port means nothing to a person.
fn host(address: &Multiaddr) -> Option<String> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.to_string()),
        Protocol::Ip6(ip) => Some(ip.to_string()),
        _ => None,
    }
}

/// A guess needs no fractions.
fn show_left(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Enough of a peer id to tell it from others.
fn short(peer: &str) -> String {
    let tail = peer.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    format!("…{}", &peer[tail..])
}

/// How fast it goes.
struct Pace {
    began: Instant,
    first: u64,
    last: u64,
    moved: Instant,
    /// Bytes a second, the last seconds counting most.
    rate: f64,
}

impl Pace {
    fn new(bytes: u64, now: Instant) -> Self {
        // What was sent before somebody looked was sent in the time between two looks.
        Self { began: now, first: 0, last: bytes, moved: now, rate: 0.0 }
    }

    fn at(&mut self, bytes: u64, now: Instant) {
        let more = bytes.saturating_sub(self.last);
        if more == 0 {
            return;
        }
        let span = now.duration_since(self.moved).as_secs_f64().max(0.001);
        let weight = 1.0 - (-span / SMOOTHING).exp();
        self.rate =
            if self.rate == 0.0 { more as f64 / span } else { self.rate + weight * (more as f64 / span - self.rate) };
        (self.last, self.moved) = (bytes, now);
    }

    /// Bytes a second; none when nothing goes.
    fn now(&self, now: Instant) -> u64 {
        if now.duration_since(self.moved) > QUIET { 0 } else { self.rate as u64 }
    }

    fn overall(&self) -> u64 {
        let span = self.moved.duration_since(self.began).as_secs_f64().max(LOOK);
        ((self.last - self.first) as f64 / span) as u64
    }
}

/// In seconds.
const SMOOTHING: f64 = 3.0;
/// So often the node tells, in seconds.
const LOOK: f64 = 0.5;
const QUIET: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    fn note(receivers: Value) -> Note {
        let Value::Object(note) = json!({ "Receivers": receivers }) else { unreachable!("it is an object") };
        note
    }

    fn at(bytes: u64, position: u64, address: Option<&str>) -> Note {
        note(json!([{"Peer": "12D3KooWabcdefghij", "Address": address, "Bytes": bytes, "Position": position}]))
    }

    const ADDRESS: Option<&str> = Some("/ip4/10.0.0.9/tcp/4321");

    #[tokio::test]
    async fn an_event_is_told_once() {
        let (mut receivers, now) = (Receivers::new(100, false), Instant::now());

        assert_eq!(receivers.update(&at(10, 10, ADDRESS), now).unwrap().len(), 1);
        assert_eq!(receivers.update(&at(10, 10, ADDRESS), now).unwrap().len(), 0);
        let events = receivers.update(&at(10, 10, None), now).unwrap();

        assert_eq!(events[0]["Address"], Value::Null);
        assert_eq!(receivers.update(&note(json!([])), now).unwrap().len(), 0);
    }

    #[tokio::test]
    async fn one_that_was_seen_too_late_gets_its_name_when_it_comes_again() {
        let (mut receivers, now) = (Receivers::new(100, false), Instant::now());
        receivers.update(&at(10, 10, None), now).unwrap();
        assert_eq!(receivers.known.values().next().unwrap().name, "…cdefghij");

        receivers.update(&at(20, 20, ADDRESS), now).unwrap();
        assert_eq!(receivers.known.values().next().unwrap().name, "10.0.0.9");
        receivers.update(&at(20, 20, None), now).unwrap();
        assert_eq!(receivers.known.values().next().unwrap().name, "10.0.0.9");
    }

    #[tokio::test]
    async fn how_long_still_is_judged_by_where_it_is_and_not_by_what_it_had_before() {
        let mut receivers = Receivers::new(1000 << 20, false);
        let (begin, now) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        receivers.update(&at(0, 800 << 20, ADDRESS), begin).unwrap();
        receivers.update(&at(10 << 20, 810 << 20, ADDRESS), begin + Duration::from_secs(1)).unwrap();

        let receiver = receivers.known.values().next().unwrap();
        assert_eq!(receiver.state(1000 << 20, now), "10.0 MiB/s, 19 s left");
        assert_eq!(receiver.state(1000 << 20, now + QUIET * 2), "waiting");
        assert_eq!(receiver.state(810 << 20, now), "done, 10.0 MiB at 10.0 MiB/s");
    }

    #[tokio::test]
    async fn receivers_are_called_by_where_they_are() {
        let mut receivers = Receivers::new(1, false);
        receivers.update(&at(0, 0, ADDRESS), Instant::now()).unwrap();
        assert_eq!(receivers.known.values().next().unwrap().name, "10.0.0.9");

        assert_eq!(short("12D3KooWabcdefghij"), "…cdefghij");
    }
}
