//! The sockets of multicast DNS on one interface (RFC 6762, sections 3 and 11): one that hears what is said to the group, and one
//! that speaks to it from the address that this node tells of.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with, sockopt};
use tokio::net::UdpSocket;

/// The group, as it is met from one address of this machine.
pub(super) struct Group {
    hears: UdpSocket,
    /// Connected to the group, so that no packet for another program of this machine goes astray here.
    speaks: UdpSocket,
}

impl Group {
    /// Joins it on the interface that has this address.
    pub(super) fn join(ip: IpAddr) -> io::Result<Group> {
        let (hears, speaks) = match ip {
            IpAddr::V4(ip) => join_ip4(ip)?,
            IpAddr::V6(ip) => join_ip6(ip)?,
        };
        Ok(Group { hears: UdpSocket::from_std(hears.into())?, speaks: UdpSocket::from_std(speaks.into())? })
    }

    /// The next packet, and who sent it. Cancel safe.
    pub(super) async fn hear(&self, packet: &mut [u8]) -> io::Result<(usize, IpAddr)> {
        let (length, from) = self.hears.recv_from(packet).await?;
        Ok((length, from.ip()))
    }

    pub(super) async fn say(&self, packet: &[u8]) -> io::Result<()> {
        self.speaks.send(packet).await.map(drop)
    }
}

fn join_ip4(ip: Ipv4Addr) -> io::Result<(OwnedFd, OwnedFd)> {
    let group = SocketAddrV4::new(GROUP, PORT);
    // Bound to the group's address, it takes no packet from other programs of this machine that speak multicast DNS too.
    let hears = socket(AddressFamily::INET)?;
    bind(&hears, &group)?;
    sockopt::set_ip_add_membership(&hears, &GROUP, &ip)?;

    let speaks = socket(AddressFamily::INET)?;
    bind(&speaks, &SocketAddrV4::new(ip, PORT))?;
    sockopt::set_ip_multicast_if(&speaks, &ip)?;
    // Another node on this machine is a neighbour, too.
    sockopt::set_ip_multicast_loop(&speaks, true)?;
    sockopt::set_ip_multicast_ttl(&speaks, TTL)?;
    connect(&speaks, &group)?;
    Ok((hears, speaks))
}

fn join_ip6(ip: Ipv6Addr) -> io::Result<(OwnedFd, OwnedFd)> {
    let interface = interface_of(ip)?;
    let group = SocketAddrV6::new(GROUP_6, PORT, 0, interface);
    let hears = socket(AddressFamily::INET6)?;
    sockopt::set_ipv6_v6only(&hears, true)?;
    bind(&hears, &group)?;
    sockopt::set_ipv6_add_membership(&hears, &GROUP_6, interface)?;

    // Left to itself the system would speak from a link-local address, at which libp2p cannot be met.
    let speaks = socket(AddressFamily::INET6)?;
    sockopt::set_ipv6_v6only(&speaks, true)?;
    bind(&speaks, &SocketAddrV6::new(ip, PORT, 0, 0))?;
    sockopt::set_ipv6_multicast_if(&speaks, interface)?;
    sockopt::set_ipv6_multicast_loop(&speaks, true)?;
    sockopt::set_ipv6_multicast_hops(&speaks, TTL)?;
    connect(&speaks, &group)?;
    Ok((hears, speaks))
}

fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    Ok(socket)
}

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const PORT: u16 = 5353;
/// So that others may check that it did not pass a router.
const TTL: u32 = 255;

/// The number of the interface that has this address: a group of IPv6 is joined by it.
fn interface_of(ip: Ipv6Addr) -> io::Result<u32> {
    let table = std::fs::read_to_string("/proc/net/if_inet6")?;
    number_in(&table, ip).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn number_in(table: &str, ip: Ipv6Addr) -> Option<u32> {
    let mut rows = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.find_map(|row| {
        let [address, number, ..] = row[..] else { return None };
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        u32::from_str_radix(number, 16).ok().filter(|_| address == ip)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_of_an_address_is_found_in_the_table_of_the_system() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fd000000000000000000000000000002 1a 40 00 80     eth0\nnonsense\n";

        assert_eq!(number_in(table, "fd00::2".parse().unwrap()), Some(26));
        assert_eq!(number_in(table, "::1".parse().unwrap()), Some(1));
        assert_eq!(number_in(table, "fd00::3".parse().unwrap()), None);
    }
}
