//! Figures for Prometheus: what is counted while a node lives, and the text in which it is read.
//!
//! Names follow Prometheus's conventions ("Metric and label naming"): base units, `_total` on what only grows.

use std::fmt::{self, Write};
use std::time::Duration;

use cidra_content::exchange::Latencies;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

/// What is counted where it happens; all else is looked up when somebody asks.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<[(&'static str, String); 1], Histogram, Seconds>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { requests: Family::new_with_constructor(Seconds) }
    }
}

/// Makes histograms of requests.
#[derive(Clone, Debug)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0])
    }
}

impl Metrics {
    /// A call of the RPC was answered; `command` is one of those that there are.
    pub fn answered(&self, command: &str, after: Duration) {
        self.requests.get_or_create(&[("command", command.to_owned())]).observe(after.as_secs_f64());
    }
}

/// Figures as they stand, each with what it means.
#[derive(Debug)]
pub struct Figures(Registry);

impl Figures {
    /// Those of a program of this version. All names begin with `prefix`, except those of the process.
    pub fn new(version: &'static str) -> Self {
        let mut figures = Self(Registry::default());
        figures.0.register("cidra_build", "The version that runs", Info::new([("version", version)]));
        figures.process();
        figures
    }

    /// What only grows; the name is without its `_total`. The help ends without a full stop.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> &mut Self {
        self.add(name, help, ConstCounter::new(value))
    }

    /// What goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> &mut Self {
        self.add(name, help, ConstGauge::new(value))
    }

    /// How long things took, in seconds.
    pub fn latencies(&mut self, name: &str, help: &str, latencies: Latencies) -> &mut Self {
        self.add(name, help, Counted(latencies))
    }

    /// What was counted where it happened.
    pub fn counted(&mut self, metrics: &Metrics) -> &mut Self {
        let help = "From a call of the RPC to the beginning of its answer";
        self.add("cidra_rpc_request_duration_seconds", help, metrics.requests.clone())
    }

    fn add(&mut self, name: &str, help: &str, metric: impl Metric) -> &mut Self {
        self.0.register(name, help, metric);
        self
    }

    /// What Prometheus's own libraries say of a process.
    #[cfg(target_os = "linux")]
    fn process(&mut self) {
        use rustix::time::{ClockId, clock_gettime};

        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        self.add("process_cpu_seconds", "Time of processors that was used", ConstCounter::new(cpu));
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        if let Some(kibibytes) = resident.and_then(|text| text.parse::<f64>().ok()) {
            self.gauge("process_resident_memory_bytes", "Memory in use", kibibytes * 1024.0);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.gauge("process_open_fds", "Files and sockets that are open", files.count() as f64);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn process(&mut self) {}

    /// As Prometheus reads it: its text format, version 0.0.4.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Memory takes it, and what is registered here can be written.
        let _ = encode(&mut text, &self.0);
        classic(&text)
    }
}

/// OpenMetrics, which the library writes, in the older format: there a counter's family is named as its sample.
fn classic(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            if !line.starts_with('#') {
                let _ = writeln!(classic, "{line}"); // memory takes it
            }
            continue;
        };
        let kind = lines.next_if(|line| line.starts_with("# TYPE ")).and_then(|line| line.rsplit(' ').next());
        let (suffix, kind) = match kind.unwrap_or("untyped") {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "unknown" => ("", "untyped"),
            kind => ("", kind),
        };
        let _ = writeln!(classic, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}"); // as above
    }
    classic
}

/// Durations that were counted elsewhere.
#[derive(Debug)]
struct Counted(Latencies);

impl EncodeMetric for Counted {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = Latencies::BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.0.counts().iter().copied()).collect();
        let count = self.0.counts().iter().sum();
        encoder.encode_histogram::<NoLabelSet>(self.0.sum().as_secs_f64(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut latencies = Latencies::default();
        for millis in [3, 3, 40_000] {
            latencies.count(Duration::from_millis(millis));
        }
        let metrics = Metrics::default();
        metrics.answered("cat", Duration::from_millis(2));
        let mut figures = Figures::new("1.2.3");
        figures.counter("cidra_dials", "Connections that were tried", 7).gauge("cidra_peers", "Peers", 2.0);
        figures.latencies("cidra_answer_seconds", "Answers", latencies).counted(&metrics);

        let text = figures.text();

        for expected in [
            "# HELP cidra_build_info The version that runs.\n# TYPE cidra_build_info gauge\ncidra_build_info{version=\"1.2.3\"} 1\n",
            "# HELP cidra_dials_total Connections that were tried.\n# TYPE cidra_dials_total counter\ncidra_dials_total 7\n",
            "# TYPE cidra_peers gauge\ncidra_peers 2.0\n",
            "# TYPE cidra_answer_seconds histogram\n",
            "cidra_answer_seconds_sum 40.006\n",
            "cidra_answer_seconds_count 3\n",
            "cidra_answer_seconds_bucket{le=\"0.005\"} 2\n",
            "cidra_answer_seconds_bucket{le=\"30.0\"} 2\ncidra_answer_seconds_bucket{le=\"+Inf\"} 3\n",
            "cidra_rpc_request_duration_seconds_bucket{le=\"0.0025\",command=\"cat\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        assert!(!text.contains("EOF"), "{text}");
        #[cfg(target_os = "linux")]
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value > 0.0), "{name} in {text}");
        }
    }
}
