//! Progress on standard error: how much, how fast, how long still; and, when nothing comes, what is waited for.
//!
//! Only on a terminal, and only for what takes more than a second. It draws while something is watched, so it needs no thread.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::units::show_duration;

/// What a person sees while a command works.
pub(super) struct Progress {
    display: Option<Display>,
}

struct Display {
    bar: ProgressBar,
    ticks: Interval,
    started: Instant,
    /// When something last came.
    moved: Instant,
    waiting_for: String,
    note: String,
}

impl Progress {
    /// Begins. `waiting_for` is shown while nothing comes; `visible` is whether anything is shown at all.
    pub(super) fn start(visible: bool, waiting_for: impl Into<String>) -> Self {
        if !visible {
            return Self { display: None };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style(COUNTING));
        let mut ticks = interval(REDRAW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        let display =
            Display { bar, ticks, started: now, moved: now, waiting_for: waiting_for.into(), note: String::new() };
        Self { display: Some(display) }
    }

    /// Waits for `work` and draws meanwhile.
    pub(super) async fn watch<T>(&mut self, work: impl Future<Output = T>) -> T {
        let Some(display) = &mut self.display else { return work.await };
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                now = display.ticks.tick() => display.draw(now),
            }
        }
    }

    /// So many bytes more.
    pub(super) fn advance(&mut self, bytes: u64) {
        if let Some(display) = &mut self.display {
            display.bar.inc(bytes);
            display.moved = Instant::now();
        }
    }

    /// So many bytes in all so far, if they are more than those that were counted.
    pub(super) fn reach(&mut self, bytes: u64) {
        if self.display.as_ref().is_some_and(|display| bytes > display.bar.position()) {
            self.set(bytes, None);
        }
    }

    /// So many bytes in all so far, and of how many, where that is known.
    pub(super) fn set(&mut self, bytes: u64, total: Option<u64>) {
        let Some(display) = &mut self.display else { return };
        if bytes > display.bar.position() {
            display.moved = Instant::now();
        }
        display.bar.set_position(bytes);
        if let Some(total) = total {
            self.set_total(total);
        }
    }

    /// What came so far was there: how fast it goes is measured from here on.
    pub(super) fn begin_rate(&mut self) {
        if let Some(display) = &mut self.display {
            display.bar.reset_eta();
        }
    }

    /// How many bytes there will be.
    pub(super) fn set_total(&mut self, total: u64) {
        if let Some(display) = &mut self.display
            && display.bar.length() != Some(total)
        {
            display.bar.set_length(total);
            display.bar.set_style(style(MEASURED));
        }
    }

    /// Something came that is not counted in what is shown.
    pub(super) fn alive(&mut self) {
        if let Some(display) = &mut self.display {
            display.moved = Instant::now();
        }
    }

    /// A few words beside the numbers.
    pub(super) fn say(&mut self, note: impl Into<String>) {
        if let Some(display) = &mut self.display {
            display.note = note.into();
        }
    }

    /// What is waited for when nothing comes.
    pub(super) fn wait_for(&mut self, what: impl Into<String>) {
        if let Some(display) = &mut self.display {
            display.waiting_for = what.into();
        }
    }

    /// Writes something with the display out of the way.
    pub(super) fn beside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.display {
            Some(display) => display.bar.suspend(write),
            None => write(),
        }
    }

    /// Results follow on standard output: where that is a terminal, they take the display's place.
    pub(super) fn before_output(&mut self) {
        if self.display.is_some() && io::stdout().is_terminal() {
            self.display = None;
        }
    }
}

impl Display {
    fn draw(&mut self, now: Instant) {
        if now.duration_since(self.started) < HIDDEN_FOR {
            return;
        }
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let quiet = now.duration_since(self.moved);
        self.bar.set_message(match quiet >= QUIET_AFTER {
            true => format!("{} ({})", self.waiting_for, show_duration(quiet)),
            false => self.note.clone(),
        });
        self.bar.tick();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const REDRAW_EVERY: Duration = Duration::from_millis(100);
/// What is done within a second needs no display.
const HIDDEN_FOR: Duration = Duration::from_secs(1);
/// After this long without a byte, what is waited for is worth saying.
const QUIET_AFTER: Duration = Duration::from_secs(2);

const COUNTING: &str = "{spinner} {binary_bytes}  {binary_bytes_per_sec}  {wide_msg}";
const MEASURED: &str =
    "{spinner} {binary_bytes} of {binary_total_bytes} ({percent}%)  {binary_bytes_per_sec}  {eta} left  {wide_msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("both templates are literals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_drawn_in_the_first_second() {
        let mut progress = Progress::start(true, "waiting");
        let display = progress.display.as_mut().unwrap();

        display.draw(display.started + HIDDEN_FOR - Duration::from_nanos(1));

        assert!(display.bar.is_hidden() && display.bar.message().is_empty());
    }

    #[tokio::test]
    async fn what_is_waited_for_is_said_when_nothing_comes() {
        let mut progress = Progress::start(true, "looking for providers of bafy");
        progress.say("3 peers");
        let display = progress.display.as_mut().unwrap();

        display.draw(display.moved + Duration::from_millis(1500));
        assert_eq!(display.bar.message(), "3 peers");
        display.draw(display.moved + Duration::from_millis(3500));

        assert_eq!(display.bar.message(), "looking for providers of bafy (3.5 s)");
    }

    #[tokio::test]
    async fn what_was_there_does_not_count_as_fast() {
        let mut progress = Progress::start(true, "waiting");
        let bar = progress.display.as_ref().unwrap().bar.clone();
        while bar.per_sec() < 1.0 {
            progress.advance(1 << 20);
        }
        let there = bar.position();

        progress.begin_rate();

        assert!(bar.per_sec() < 1.0, "{}", bar.per_sec());
        assert_eq!(bar.position(), there);
    }

    #[test]
    fn the_templates_are_sound() {
        style(COUNTING);
        style(MEASURED);
    }
}
