//! Many networks in one routing table: whoever rents one block of addresses must not fill it with its own nodes. The public
//! network's limits: three peers of one group in the table, two of them in one bucket.

use core::net::IpAddr;
use std::collections::BTreeSet;

/// Whether a peer with these addresses may come into this bucket; `table` has the bucket and the addresses of each peer that is in.
pub fn admits<'a>(bucket: u32, addresses: &[IpAddr], table: impl Iterator<Item = (u32, Vec<IpAddr>)> + 'a) -> bool {
    let wanted: BTreeSet<Group> = addresses.iter().map(|ip| Group::of(*ip)).collect();
    let mut left: Vec<(Group, usize, usize)> =
        wanted.into_iter().map(|group| (group, MAX_IN_TABLE, MAX_IN_BUCKET)).collect();
    for (place, others) in table {
        let others: BTreeSet<Group> = others.into_iter().map(Group::of).collect();
        for (_, in_table, in_bucket) in left.iter_mut().filter(|(group, ..)| others.contains(group)) {
            *in_table = in_table.saturating_sub(1);
            if place == bucket {
                *in_bucket = in_bucket.saturating_sub(1);
            }
        }
    }
    left.iter().all(|(_, in_table, in_bucket)| *in_table > 0 && *in_bucket > 0)
}

/// Peers of one group in a table.
pub const MAX_IN_TABLE: usize = 3;
/// Peers of one group in a bucket.
pub const MAX_IN_BUCKET: usize = 2;

/// Addresses that are likely to have one owner: a /16 of IPv4 (a /8 where one has all of it), a /32 of IPv6, which is what
/// registries give to one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group([u8; 5]);

impl Group {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Self([4, a, if OF_ONE_OWNER.contains(&a) { 0 } else { b }, 0, 0])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                Self([6, a, b, c, d])
            }
        }
    }
}

/// The first bytes of old allocations that went to one network as a whole.
const OF_ONE_OWNER: [u8; 8] = [12, 17, 19, 38, 48, 53, 56, 73];

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split(' ').map(|ip| ip.parse().unwrap()).collect()
    }

    fn table(peers: &[(u32, &str)]) -> Vec<(u32, Vec<IpAddr>)> {
        peers.iter().map(|(bucket, text)| (*bucket, ips(text))).collect()
    }

    #[test]
    fn a_bucket_takes_two_of_one_group_and_the_table_three() {
        let mut peers = table(&[(255, "5.6.0.1"), (255, "5.6.99.2")]);
        assert!(!admits(255, &ips("5.6.7.8"), peers.iter().cloned()));
        assert!(admits(254, &ips("5.6.7.8"), peers.iter().cloned()));
        assert!(admits(255, &ips("5.7.7.8"), peers.iter().cloned()));

        peers.push((254, ips("5.6.7.8")));

        assert!(!admits(253, &ips("5.6.1.1"), peers.iter().cloned()), "one past the limit of the table");
        assert!(!admits(253, &ips("9.9.9.9 5.6.1.1"), peers.iter().cloned()), "each of its addresses counts");
    }

    #[test]
    fn a_peer_with_many_addresses_of_a_group_counts_once() {
        let peers = table(&[(255, "5.6.0.1 5.6.0.2 5.6.0.3 5.6.0.4")]);

        assert!(admits(255, &ips("5.6.7.8 5.6.7.9"), peers.into_iter()));
    }

    #[test]
    fn groups_are_what_one_owner_is_likely_to_have() {
        let same = |one: &str, other: &str| Group::of(one.parse().unwrap()) == Group::of(other.parse().unwrap());

        assert!(same("5.6.0.1", "5.6.255.255") && !same("5.6.0.1", "5.7.0.1"));
        assert!(same("17.1.0.1", "17.200.0.1"));
        assert!(same("2a01:4f8:1::1", "2a01:4f8:ffff::1") && !same("2a01:4f8::1", "2a01:4f9::1"));
        assert!(same("::ffff:5.6.0.1", "5.6.1.1"));
    }
}
