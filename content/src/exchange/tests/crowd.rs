//! Many that want the same at the same time.

use std::time::Duration;

use super::net::{Name, Net};
use crate::exchange::{Config, Order};

const MIB: usize = 1024 * 1024;

/// 64 MiB from one origin to `count` peers that know only it, all links 100 Mbit/s. Seconds to the last, and the limit.
fn crowd(count: usize) -> (Net, Vec<Name>, f64, f64) {
    let (mut net, names) = Net::crowd(count + 1);
    let root = net.file(64, MIB);
    for node in net.nodes.values_mut() {
        (node.up, node.down) = (12.5e6, 12.5e6);
    }
    net.store_all(names[0], &root);
    for getter in &names[1..] {
        net.get_from(getter, root, &names[..1], Order::Any);
    }
    let time = net.run_until_done(&names[1..], Duration::from_secs(600)).as_secs_f64();
    let block = MIB as f64 / 12.5e6;
    let limit = (63.0 + ((count + 1) as f64).log2().ceil()) * block;
    (net, names, time, limit)
}

fn print(count: usize, net: &Net, names: &[Name], time: f64, limit: f64) {
    let copies = net.nodes[names[0]].exchange.counters().bytes_sent as f64 / (64 * MIB) as f64;
    let wasted: u64 = names.iter().map(|name| net.nodes[name].exchange.counters().bytes_wasted).sum();
    let share = wasted as f64 / (64 * MIB * count) as f64;
    let ratio = time / limit;
    println!("crowd of {count}: {time:.2} s, {ratio:.2} × the limit; origin sent {copies:.2} copies, waste {share:.3}");
}

#[test]
fn a_crowd_of_8_ends_near_the_limit() {
    let (net, names, time, limit) = crowd(8);
    print(8, &net, &names, time, limit);
    assert!(time < limit * 1.25, "{time:.2} s where {limit:.2} s is the limit");
}

#[test]
fn a_crowd_of_32_ends_near_the_limit() {
    let (net, names, time, limit) = crowd(32);
    print(32, &net, &names, time, limit);
    assert!(time < limit * 1.5, "{time:.2} s where {limit:.2} s is the limit");
}

#[test]
fn a_crowd_of_200_grows_by_few_block_times_a_doubling() {
    let (net, names, time, limit) = crowd(200);
    print(200, &net, &names, time, limit);
    assert!(time < limit * 1.8, "{time:.2} s where {limit:.2} s is the limit");
}

#[test]
fn without_referrals_everybody_queues_at_the_origin() {
    let config = Config { referrals: false, ..Config::default() };
    let mut net = Net::with(&["origin", "a", "b", "c"], config);
    let root = net.file(16, MIB);
    net.store_all("origin", &root);
    for getter in ["a", "b", "c"] {
        net.get_from(getter, root, &["origin"], Order::Any);
    }
    net.run_until_done(&["a", "b", "c"], Duration::from_secs(60));
    assert_eq!(net.nodes["a"].dialled, ["origin"]);
    assert_eq!(net.nodes["origin"].exchange.counters().blocks_sent, 3 * 17);
}

#[test]
fn a_crowd_with_slow_receivers_is_not_stalled_by_them() {
    let (mut net, names) = Net::crowd(17);
    let root = net.file(64, MIB);
    for (index, name) in names.iter().enumerate() {
        let node = net.nodes.get_mut(name).unwrap();
        (node.up, node.down) = if index % 4 == 3 { (0.6e6, 0.6e6) } else { (12.5e6, 12.5e6) };
    }
    net.store_all(names[0], &root);
    for getter in &names[1..] {
        net.get_from(getter, root, &names[..1], Order::Any);
    }
    let fast: Vec<Name> = names[1..].iter().copied().filter(|name| net.nodes[name].down > 1e6).collect();
    let time = net.run_until_done(&fast, Duration::from_secs(600)).as_secs_f64();
    println!("12 fast ones among 4 of 5 Mbit/s: {time:.2} s (5.6 s for the fast alone)");
    assert!(time < 14.0, "{time:.2} s");
}

#[test]
fn when_the_origin_leaves_the_crowd_completes_what_it_has() {
    let (mut net, names) = Net::crowd(9);
    let root = net.file(32, MIB);
    for node in net.nodes.values_mut() {
        (node.up, node.down) = (12.5e6, 12.5e6);
    }
    net.store_all(names[0], &root);
    for getter in &names[1..] {
        net.get_from(getter, root, &names[..1], Order::Any);
    }
    let whole = (32.0 * MIB as f64 * 1.6 / 12.5e6 * 1000.0) as u64;
    net.run(Duration::from_millis(whole));
    net.kill(names[0]);
    net.run_until_done(&names[1..], Duration::from_secs(60));
}
