//! The values that a DHT server keeps for others: records of names and public keys, and of those only what is proven.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cidra_content::ipns::{self, Moment, Name};
use libp2p::PeerId;
use libp2p::identity::PublicKey;
use libp2p::kad::{KBucketKey, Record, RecordKey};

use crate::keys::is_signed;

/// Values with limits. They do not outlive the process: whoever published a name tells it again every few hours.
#[derive(Default)]
pub(super) struct Held {
    values: BTreeMap<[u8; 32], Value>,
    bytes: usize,
}

struct Value {
    key: RecordKey,
    kind: Kind,
    until: Moment,
}

#[derive(PartialEq)]
enum Kind {
    Name(ipns::Record),
    PublicKey(Vec<u8>),
}

impl Kind {
    /// Proves that a value is what its key says.
    fn of(key: &[u8], value: &[u8], now: Moment) -> Option<Self> {
        if let Some(name) = Name::of_routing_key(key) {
            return ipns::Record::verify(&name, value, now, is_signed).ok().map(Self::Name);
        }
        let name = Name::of_multihash(key.strip_prefix(b"/pk/")?).ok()?;
        let is_key = value.len() <= MAX_KEY && PublicKey::try_decode_protobuf(value).is_ok();
        (is_key && Name::of_public_key(value) == name).then(|| Self::PublicKey(value.to_vec()))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Name(record) => record.bytes(),
            Self::PublicKey(key) => key,
        }
    }

    /// How long it is kept: two days, a record no longer than it is valid.
    fn until(&self, now: Moment) -> Moment {
        let last = now.later(ipns::LIFETIME);
        match self {
            Self::Name(record) => record.validity().min(last),
            Self::PublicKey(_) => last,
        }
    }
}

impl Held {
    /// Keeps a value that is proven and better than the one that is here. In a full table what is farthest from `here` gives way.
    pub(super) fn put(&mut self, here: PeerId, key: &RecordKey, value: &[u8], now: Moment) -> bool {
        let distance = distance(here, key);
        let held = self.values.get(&distance);
        if held.is_some_and(|held| held.kind.bytes() == value && held.until > now) {
            return true;
        }
        let Some(kind) = Kind::of(key.as_ref(), value, now) else { return false };
        if let (Some(Value { kind: Kind::Name(held), .. }), Kind::Name(record)) = (held, &kind)
            && held.is_valid_at(now)
            && held.is_better_than(record)
        {
            return false;
        }
        self.remove_at(&distance);
        self.bytes += kind.bytes().len();
        self.values.insert(distance, Value { key: key.clone(), until: kind.until(now), kind });
        while self.values.len() > MAX_VALUES || self.bytes > MAX_BYTES {
            let Some((farthest, _)) = self.values.last_key_value() else { break };
            let farthest = *farthest;
            self.remove_at(&farthest);
        }
        self.values.contains_key(&distance)
    }

    /// A value that is still valid.
    pub(super) fn get(&self, here: PeerId, key: &RecordKey, now: Moment) -> Option<Cow<'_, Record>> {
        let value = self.values.get(&distance(here, key)).filter(|value| value.until > now && value.key == *key)?;
        Some(Cow::Owned(Record::new(key.clone(), value.kind.bytes().to_vec())))
    }

    /// Forgets what is no longer valid.
    pub(super) fn expire(&mut self, now: Moment) {
        let over: Vec<_> =
            self.values.iter().filter(|(_, value)| value.until <= now).map(|(distance, _)| *distance).collect();
        over.iter().for_each(|distance| self.remove_at(distance));
    }

    fn remove_at(&mut self, distance: &[u8; 32]) {
        if let Some(value) = self.values.remove(distance) {
            self.bytes -= value.kind.bytes().len();
        }
    }
}

fn distance(here: PeerId, key: &RecordKey) -> [u8; 32] {
    KBucketKey::new(key.clone()).distance(&KBucketKey::from(here)).0.to_big_endian()
}

/// Values in all; one more takes the place of what is farthest from this node.
const MAX_VALUES: usize = 16_384;
/// Bytes in all of them.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Longest public key in bytes: one of RSA with 8,192 bits has some 1,100.
const MAX_KEY: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cidra_content::ipns::Draft;
    use libp2p::identity::{Keypair, SigningError};

    use super::*;

    #[derive(Debug)]
    struct Failed;

    impl From<ipns::RecordError> for Failed {
        fn from(_: ipns::RecordError) -> Self {
            Self
        }
    }

    impl From<SigningError> for Failed {
        fn from(_: SigningError) -> Self {
            Self
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::after_1970(Duration::from_secs(seconds))
    }

    fn record(keypair: &Keypair, sequence: u64, validity: u64) -> (RecordKey, Vec<u8>) {
        let public_key = keypair.public().encode_protobuf();
        let value = "/ipfs/bafkqaaa".to_owned();
        let draft = Draft { value, validity: at(validity), sequence, ttl: Duration::ZERO, version_1: true };
        let bytes = draft.sign(&public_key, |message| keypair.sign(message).map_err(Failed::from)).unwrap();
        (RecordKey::from(Name::of_public_key(&public_key).routing_key()), bytes.to_vec())
    }

    fn value(held: &Held, here: PeerId, key: &RecordKey, now: u64) -> Option<Vec<u8>> {
        held.get(here, key, at(now)).map(|record| record.value.clone())
    }

    #[test]
    fn only_what_is_proven_is_kept() {
        let (here, keypair, mut held) = (PeerId::random(), Keypair::generate_ed25519(), Held::default());
        let (key, bytes) = record(&keypair, 1, 1000);
        let (other, _) = record(&Keypair::generate_ed25519(), 1, 1000);

        assert!(!held.put(here, &other, &bytes, at(0)), "it is signed by somebody else");
        assert!(!held.put(here, &key, b"soup", at(0)));
        assert!(!held.put(here, &RecordKey::from(b"/x/y".to_vec()), b"soup", at(0)));
        assert!(!held.put(here, &key, &bytes, at(1001)), "it expired");
        assert!(held.put(here, &key, &bytes, at(0)));

        let public_key = keypair.public().encode_protobuf();
        let pk = RecordKey::from([b"/pk/", &PeerId::from(keypair.public()).to_bytes()[..]].concat());
        assert!(held.put(here, &pk, &public_key, at(0)));
        assert!(!held.put(here, &pk, &Keypair::generate_ed25519().public().encode_protobuf(), at(0)));
        assert_eq!(value(&held, here, &pk, 1), Some(public_key));
    }

    #[test]
    fn the_better_record_stays_until_its_end() {
        let (here, keypair, mut held) = (PeerId::random(), Keypair::generate_ed25519(), Held::default());
        let ((key, first), (_, second)) = (record(&keypair, 1, 1000), record(&keypair, 2, 500));

        assert!(held.put(here, &key, &first, at(0)));
        assert!(held.put(here, &key, &second, at(0)));
        assert!(!held.put(here, &key, &first, at(0)));
        assert_eq!(value(&held, here, &key, 499), Some(second));
        assert_eq!(value(&held, here, &key, 500), None);
        assert!(held.put(here, &key, &first, at(501)), "the better one is over");
        held.expire(at(1000));
        assert_eq!((held.values.len(), held.bytes), (0, 0));
    }

    #[test]
    fn nothing_is_kept_for_more_than_two_days() {
        let (here, keypair, mut held) = (PeerId::random(), Keypair::generate_ed25519(), Held::default());
        let (key, bytes) = record(&keypair, 1, 100 * 365 * 86_400);
        held.put(here, &key, &bytes, at(0));

        assert!(value(&held, here, &key, 48 * 3600 - 1).is_some());
        assert!(value(&held, here, &key, 48 * 3600).is_none());
    }

    #[test]
    fn one_value_too_many_takes_the_place_of_the_farthest() {
        let (here, mut held) = (PeerId::random(), Held::default());
        let mut put = |number: usize| {
            // As if it were proven: so many signatures take too long.
            let key = RecordKey::from(number.to_be_bytes().to_vec());
            let kind = Kind::PublicKey(vec![1; 100]);
            held.bytes += 100;
            held.values.insert(distance(here, &key), Value { key, kind, until: at(9) });
        };
        (0..MAX_VALUES).for_each(&mut put);
        let farthest = *held.values.last_key_value().unwrap().0;

        // Somebody near enough comes; of random keys one does soon.
        let kept = (0..1000).any(|_| {
            let (key, bytes) = record(&Keypair::generate_ed25519(), 1, 1000);
            held.put(here, &key, &bytes, at(0))
        });

        assert!(kept);
        assert_eq!(held.values.len(), MAX_VALUES);
        assert!(!held.values.contains_key(&farthest));
    }
}
