//! Records that were found lately, each for its time to live.

use std::collections::BTreeMap;

use cidra_content::ipns::{Moment, Name, Record};

/// At most [`MAX_CACHED`] records; one more takes the place of the one that is believed no longer first.
#[derive(Debug, Default)]
pub(super) struct Cache {
    records: BTreeMap<Name, (Record, Moment)>,
}

impl Cache {
    /// A record that is still to be believed.
    pub(super) fn get(&self, name: &Name, now: Moment) -> Option<Record> {
        let (record, until) = self.records.get(name)?;
        (*until > now && record.is_valid_at(now)).then(|| record.clone())
    }

    /// Remembers a record from now on.
    pub(super) fn put(&mut self, record: Record, now: Moment) {
        let until = now.later(record.ttl()).min(record.validity());
        let name = *record.name();
        self.records.insert(name, (record, until));
        if self.records.len() > MAX_CACHED {
            let first = self.records.iter().min_by_key(|(_, (_, until))| *until).map(|(name, _)| *name);
            first.and_then(|first| self.records.remove(&first));
        }
    }

    /// What was said of a name is no longer believed.
    pub(super) fn forget(&mut self, name: &Name) {
        self.records.remove(name);
    }
}

/// Records of at most 10 KiB each.
const MAX_CACHED: usize = 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cidra_content::ipns::{Draft, RecordError};

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_1970(Duration::from_secs(seconds))
    }

    /// Of a key that is only a number; its signature is believed.
    fn record(number: u32, ttl: u64, validity: u64) -> Record {
        let key = [&number.to_be_bytes()[..], &[7; 32]].concat();
        let (ttl, validity) = (Duration::from_secs(ttl), at(validity));
        let draft = Draft { value: "/ipfs/bafkqaaa".to_owned(), validity, sequence: 0, ttl, version_1: false };
        let bytes = draft.sign(&key, |_| Ok::<_, RecordError>(vec![1])).unwrap();
        Record::verify(&Name::of_public_key(&key), &bytes, at(0), |_| true).unwrap()
    }

    #[test]
    fn a_record_is_believed_for_its_time_to_live_and_not_past_its_validity() {
        let (short, ending) = (record(1, 10, 1000), record(2, 100, 105));
        let mut cache = Cache::default();
        cache.put(short.clone(), at(100));
        cache.put(ending.clone(), at(100));

        assert_eq!(cache.get(short.name(), at(109)), Some(short.clone()));
        assert_eq!(cache.get(short.name(), at(110)), None);
        assert_eq!(cache.get(ending.name(), at(104)), Some(ending.clone()));
        assert_eq!(cache.get(ending.name(), at(105)), None);
        cache.forget(short.name());
        assert_eq!(cache.get(short.name(), at(100)), None);
    }

    #[test]
    fn one_record_too_many_takes_the_place_of_the_first_to_end() {
        let mut cache = Cache::default();
        let count = u32::try_from(MAX_CACHED).unwrap();
        let all: Vec<Record> = (0..=count).map(|number| record(number, 10 + u64::from(number), 10_000)).collect();
        all.iter().for_each(|record| cache.put(record.clone(), at(0)));

        assert_eq!(cache.records.len(), MAX_CACHED);
        assert_eq!(cache.get(all[0].name(), at(1)), None);
        assert!(all[1..].iter().all(|record| cache.get(record.name(), at(1)).is_some()));
    }
}
