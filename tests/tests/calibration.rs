//! Whether the simulation of `content/tests/simulation` tells the truth: what it says, real nodes on links of the same rates take too.
//!
//! It takes root for the network, and times count here: so it runs only where `CIDRA_SUITE` is set. Whatever else the machine does makes
//! a run longer, never shorter: the best of three counts.

#[path = "../../content/tests/simulation/calibrated.rs"]
mod calibrated;

use cidra_tests::suite::MIB;
use cidra_tests::swarm::{LIMIT, Swarm, UPLINK};
use cidra_tests::{Repository, Suite, sample};

/// The issue's: beyond it the simulation proves nothing.
const TOLERANCE: f64 = 0.15;

#[test]
fn four_holders() {
    in_suite(Suite::Ci, "128 MiB from 4 holders", calibrated::FOUR_HOLDERS, || {
        let swarm = Swarm::of(4, 1, 128 * MIB)?;
        Some(fetch(&swarm, 4, || {}))
    });
}

#[test]
fn a_crowd_of_eight() {
    in_suite(Suite::Slow, "64 MiB from one holder to 8 others", calibrated::CROWD_OF_8, || {
        Some(Swarm::of(1, 8, 64 * MIB)?.crowd().as_secs_f64())
    });
}

#[test]
fn one_of_two_holders_is_killed() {
    in_suite(Suite::Slow, "128 MiB, one of 2 holders killed after 3 s", calibrated::ONE_OF_TWO_KILLED, || {
        let mut swarm = Swarm::of(2, 1, 128 * MIB)?;
        let victim = swarm.take(0);
        Some(fetch(&swarm, 2, || {
            swarm.lan.wait_for(2, THREE_SECONDS, LIMIT);
            victim.kill();
        }))
    });
}

#[test]
fn one_of_two_holders_is_cut_off() {
    in_suite(Suite::Slow, "128 MiB, one of 2 holders cut off after 3 s", calibrated::ONE_OF_TWO_CUT_OFF, || {
        let swarm = Swarm::of(2, 1, 128 * MIB)?;
        Some(fetch(&swarm, 2, || {
            swarm.lan.wait_for(2, THREE_SECONDS, LIMIT);
            swarm.lan.cut(0);
        }))
    });
}

/// Bytes that come from two holders within 3 s.
const THREE_SECONDS: u64 = 2 * 3 * UPLINK;

/// Seconds that a getter on this host takes while something happens.
fn fetch(swarm: &Swarm, host: usize, meanwhile: impl FnOnce()) -> f64 {
    let getter = Repository::new();
    let running = swarm.get(host, &getter).start();
    meanwhile();
    let took = running.finish().success().elapsed;
    sample::assert_same(&swarm.file, &getter.file("film"));
    took.as_secs_f64()
}

/// Compares the best of three runs with what the simulation says.
fn in_suite(least: Suite, name: &str, simulated: f64, run: impl Fn() -> Option<f64>) {
    if Suite::chosen() < least {
        println!("skipped: {name}: it is part of {least:?}");
        return;
    }
    let mut best = f64::MAX;
    for _ in 0..3 {
        let Some(took) = run() else { return };
        best = best.min(took);
        println!("{name}: {took:.2} s, simulated {simulated:.2} s ({:+.1} %)", 100.0 * (took / simulated - 1.0));
        if (best / simulated - 1.0).abs() <= TOLERANCE {
            return;
        }
    }
    panic!("{name}: {best:.2} s, and the simulation says {simulated:.2} s");
}
