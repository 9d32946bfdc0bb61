//! What a client pays so that a server dials an address of another host.

/// Bytes that a client at `client` pays for a dial to `host`; none for one to itself. `random` chooses among fair prices.
pub fn price<H: PartialEq>(client: Option<&H>, host: &H, random: u64) -> Option<u64> {
    (client != Some(host)).then(|| LEAST + random % (MOST - LEAST))
}

/// Whether a client pays so many bytes.
pub fn is_fair(bytes: u64) -> bool {
    bytes <= MOST
}

/// More than what a handshake could cost the host that is dialled, in bytes.
const LEAST: u64 = 30_000;
/// What a client is asked for at most, and what ours pays at most, in bytes.
const MOST: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_to_the_client_itself_is_free_and_others_cost() {
        assert_eq!(price(Some(&"here"), &"here", 1), None);
        for random in [0, 1, u64::MAX] {
            for client in [Some(&"there"), None] {
                let bytes = price(client, &"here", random).unwrap();
                assert!((LEAST..MOST).contains(&bytes) && is_fair(bytes));
            }
        }
    }

    #[test]
    fn nobody_pays_more_than_the_most() {
        assert!(is_fair(MOST) && !is_fair(MOST + 1));
    }
}
