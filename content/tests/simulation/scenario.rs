//! What a run came to, and whether it is within its bound.

use cidra_content::Cid;

use crate::world::{Id, SECOND, Time, World};

pub(crate) const MIB: u64 = 1 << 20;

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Seconds from a getter's beginning to its end: the last of all, and the mean.
    pub(crate) last: f64,
    pub(crate) mean: f64,
    /// The longest pause between bytes at any getter that stayed, in seconds.
    pub(crate) pause: f64,
    /// Bytes that came in vain, as a share of those that were wanted.
    pub(crate) waste: f64,
    pub(crate) steps: u64,
}

impl World {
    /// Runs until these getters are done. Panics where they are not in time.
    pub(crate) fn figures(&mut self, getters: &[Id], root: &Cid, limit: Time) -> Figures {
        let done = self.run(limit);
        let waiting = getters.iter().filter(|getter| self.time_of_getter(**getter).is_none()).count();
        assert!(done && waiting == 0, "{waiting} of {} getters not done in {} s", getters.len(), limit / SECOND);
        let times: Vec<f64> = getters.iter().filter_map(|getter| self.time_of_getter(*getter)).collect();
        let downloads = getters.iter().filter_map(|getter| self.nodes[*getter as usize].download.as_ref());
        let pause = downloads.map(|download| download.longest_pause).max().unwrap_or_default();
        let wasted: u64 = getters.iter().map(|g| self.nodes[*g as usize].exchange.counters().bytes_wasted).sum();
        let wanted: u64 = self.library.all_below(root).iter().map(|cid| u64::from(self.library.len(cid))).sum();
        Figures {
            last: times.iter().copied().fold(0.0, f64::max),
            mean: times.iter().sum::<f64>() / times.len() as f64,
            pause: pause as f64 / SECOND as f64,
            waste: wasted as f64 / (wanted * getters.len() as u64) as f64,
            steps: self.steps(),
        }
    }

    pub(crate) fn time_of_getter(&self, getter: Id) -> Option<f64> {
        let download = self.nodes[getter as usize].download.as_ref()?;
        Some((download.finished? - download.begun) as f64 / SECOND as f64)
    }
}

/// The mean of a scenario's runs with different seeds, and what it may come to.
pub(crate) struct Row {
    name: String,
    figures: Figures,
    bound: Bound,
}

/// Beyond this, in seconds, something has become worse.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) last: f64,
    pub(crate) pause: f64,
    pub(crate) mean: f64,
    /// What is asked for, where it is not reached yet or leaves room.
    pub(crate) asked: Option<f64>,
    /// What it is recorded to come to.
    pub(crate) calibrated: Option<f64>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, runs: &[Figures], bound: Bound) -> Self {
        let mean = |of: fn(&Figures) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        let figures = Figures {
            last: mean(|f| f.last),
            mean: mean(|f| f.mean),
            pause: runs.iter().map(|f| f.pause).fold(0.0, f64::max),
            waste: mean(|f| f.waste),
            steps: runs.iter().map(|f| f.steps).sum(),
        };
        Self { name: name.into(), figures, bound }
    }

    fn is_beyond(&self) -> bool {
        let Figures { last, mean, pause, .. } = self.figures;
        last > self.bound.last || mean > self.bound.mean || pause > self.bound.pause
    }
}

impl Bound {
    pub(crate) fn of(last: f64, pause: f64) -> Self {
        Self { last, pause, mean: last, asked: None, calibrated: None }
    }

    /// Real nodes play it, too: what it comes to is `seconds`, neither more nor less.
    pub(crate) fn calibrated(self, seconds: f64) -> Self {
        Self { calibrated: Some(seconds), ..self }
    }

    pub(crate) fn mean(self, seconds: f64) -> Self {
        Self { mean: seconds, ..self }
    }

    pub(crate) fn asked(self, seconds: f64) -> Self {
        Self { asked: Some(seconds), ..self }
    }
}

/// Prints the table, then fails if a row is beyond its bound.
pub(crate) fn judge(rows: &[Row]) {
    let mut table = "| Scenario | last s | bound | asked | mean s | bound | pause s | bound | waste % |\n".to_owned();
    table += "|---|---|---|---|---|---|---|---|---|\n";
    for Row { name, figures, bound } in rows {
        let asked = bound.asked.map_or(String::new(), |asked| format!("{asked:.2}"));
        let waste = figures.waste * 100.0;
        table += &format!("| {name} | {:.2} | {:.2} | {asked} ", figures.last, bound.last);
        table += &format!("| {:.2} | {:.2} ", figures.mean, bound.mean);
        table += &format!("| {:.2} | {:.2} | {waste:.1} |\n", figures.pause, bound.pause);
    }
    println!("{table}");
    let beyond: Vec<&str> = rows.iter().filter(|row| row.is_beyond()).map(|row| row.name.as_str()).collect();
    assert!(beyond.is_empty(), "beyond the bound: {}", beyond.join("; "));
    for Row { name, figures, bound } in rows {
        let recorded = bound.calibrated.unwrap_or(figures.last);
        let drift = (figures.last / recorded - 1.0).abs();
        assert!(drift < 0.01, "{name}: {:.2} s, and {recorded} stand in calibrated.rs", figures.last);
    }
}
