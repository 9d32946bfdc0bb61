use super::*;

fn record(key: impl Into<Vec<u8>>, provider: PeerId) -> ProviderRecord {
    ProviderRecord::new(key.into(), provider, vec!["/ip4/10.0.0.1/tcp/4001".parse().unwrap()])
}

fn in_memory() -> Records {
    Records::open(PeerId::random(), None).unwrap()
}

#[test]
fn gives_back_what_it_was_given_with_addresses() {
    let mut records = in_memory();
    let provider = PeerId::random();

    records.add_provider(record(b"key", provider)).unwrap();

    let found = records.providers(&RecordKey::from(b"key".to_vec()));
    assert_eq!(found[0].provider, provider);
    assert_eq!(found[0].addresses, records.addresses(&provider));
    assert_eq!(found[0].addresses.len(), 1);
    assert!(records.providers(&RecordKey::from(b"other".to_vec())).is_empty());
}

#[test]
fn has_one_record_for_each_key_and_provider() {
    let mut records = in_memory();
    let provider = PeerId::random();

    records.add_provider(record(b"key", provider)).unwrap();
    records.add_provider(record(b"key", provider)).unwrap();

    assert_eq!(records.len(), 1);
}

#[test]
fn keeps_the_addresses_when_an_announcement_brings_none() {
    let mut records = in_memory();
    let provider = PeerId::random();
    records.add_provider(record(b"key", provider)).unwrap();

    records.add_provider(ProviderRecord::new(b"key".to_vec(), provider, vec![])).unwrap();

    assert_eq!(records.addresses(&provider).len(), 1);
}

#[test]
fn forgets_providers_whose_time_is_over() {
    let mut records = in_memory();
    records.add_provider(record(b"key", PeerId::random())).unwrap();

    records.expire(SystemTime::now() + VALIDITY - Duration::from_secs(60));
    assert_eq!(records.len(), 1);
    records.expire(SystemTime::now() + VALIDITY + Duration::from_secs(60));
    assert_eq!(records.len(), 0);
    assert!(records.providers.is_empty() && records.keys.is_empty());
}

#[test]
fn refuses_keys_longer_than_the_limit() {
    let mut records = in_memory();

    assert!(records.add_provider(record(vec![0; MAX_KEY], PeerId::random())).is_ok());
    assert!(records.add_provider(record(vec![0; MAX_KEY + 1], PeerId::random())).is_err());
}

#[test]
fn one_more_provider_of_a_key_replaces_the_oldest() {
    let mut records = in_memory();
    let first = PeerId::random();
    records.add_provider(record(b"key", first)).unwrap();

    for _ in 0..MAX_PER_KEY {
        records.add_provider(record(b"key", PeerId::random())).unwrap();
    }

    assert_eq!(records.len(), MAX_PER_KEY);
    assert!(!records.providers.contains_key(&first));
}

#[test]
fn a_provider_has_its_limit_and_others_have_room() {
    let mut records = in_memory();
    let greedy = PeerId::random();
    for number in 0..MAX_PER_PROVIDER as u32 {
        records.add_provider(record(number.to_be_bytes(), greedy)).unwrap();
    }

    assert!(records.add_provider(record(b"one more", greedy)).is_err());
    assert!(records.add_provider(record(b"one more", PeerId::random())).is_ok());
}

#[test]
fn a_full_table_gives_up_what_is_farthest() {
    let mut records = in_memory();
    let mut added = 0u32;
    while records.len() < MAX_RECORDS {
        let provider = PeerId::random();
        for _ in 0..MAX_PER_PROVIDER / 2 {
            records.add_provider(record(added.to_be_bytes(), provider)).unwrap();
            added += 1;
        }
    }
    let farthest = *records.keys.last_key_value().unwrap().0;
    let last = record(b"", PeerId::random());

    for number in added..added + 64 {
        let distance = records.distance(&number.to_be_bytes());
        let result = records.add_provider(ProviderRecord { key: number.to_be_bytes().to_vec().into(), ..last.clone() });
        assert!(records.len() <= MAX_RECORDS);
        assert!(result.is_ok() || distance > *records.keys.last_key_value().unwrap().0);
    }
    assert!(*records.keys.last_key_value().unwrap().0 < farthest);
}

#[test]
fn an_answer_holds_a_different_twenty_of_a_crowd() {
    let mut records = in_memory();
    for _ in 0..100 {
        records.add_provider(record(b"key", PeerId::random())).unwrap();
    }
    let key = RecordKey::from(b"key".to_vec());
    let ask = || records.providers(&key).into_iter().map(|record| record.provider).collect::<Vec<_>>();

    let (first, second) = (ask(), ask());

    assert_eq!(first.len(), IN_AN_ANSWER);
    assert_ne!(first, second);
}

#[test]
fn comes_back_after_a_restart_without_what_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records");
    let (here, provider) = (PeerId::random(), PeerId::random());
    let mut records = Records::open(here, Some(&file)).unwrap();
    records.add_provider(record(b"key", provider)).unwrap();
    records.add_provider(record(b"key", provider)).unwrap();
    drop(records);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, [&whole[..], &whole[..whole.len() / 3]].concat()).unwrap();

    let records = Records::open(here, Some(&file)).unwrap();

    assert_eq!(records.len(), 1);
    assert_eq!(records.addresses(&provider).len(), 1);
    assert_eq!(std::fs::metadata(&file).unwrap().len() as usize, whole.len() / 2);
}

#[test]
fn addresses_are_told_for_a_day_and_the_provider_for_two() {
    let mut records = in_memory();
    let provider = PeerId::random();
    records.add_provider(record(b"key", provider)).unwrap();
    let key = RecordKey::from(b"key".to_vec());
    let told = |after: Duration| {
        let found = records.providers_at(&key, seconds(SystemTime::now() + after));
        found.into_iter().map(|record| record.addresses).next()
    };

    let name: Multiaddr = Protocol::P2p(provider).into();
    assert_eq!(told(ADDRESS_VALIDITY - Duration::from_secs(60)), Some(vec!["/ip4/10.0.0.1/tcp/4001".parse().unwrap()]));
    assert_eq!(told(ADDRESS_VALIDITY + Duration::from_secs(60)), Some(vec![name]), "it is to be looked for");
    assert_eq!(told(VALIDITY + Duration::from_secs(60)), None);
}

#[test]
fn what_is_denied_is_neither_kept_nor_told() {
    let folder = tempfile::tempdir().unwrap();
    let (list, bad) = (folder.path().join("list.deny"), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
    std::fs::write(&list, "").unwrap();
    let lists = DenyLists::open(std::slice::from_ref(&list)).unwrap();
    let key = bad.parse::<cid::Cid>().unwrap().hash().to_bytes();
    let mut records = in_memory();
    records.deny(lists.clone());
    records.add_provider(record(key.clone(), PeerId::random())).unwrap();
    assert_eq!(records.providers(&RecordKey::from(key.clone())).len(), 1);

    std::fs::write(&list, format!("/ipfs/{bad}\n")).unwrap();
    lists.refresh();
    records.add_provider(record(key.clone(), PeerId::random())).unwrap();

    assert!(records.providers(&RecordKey::from(key)).is_empty());
    assert_eq!(records.len(), 1);
}

#[test]
fn own_records_say_where_this_node_is() {
    let mut records = in_memory();
    let here = records.here();
    records.add_provider(ProviderRecord::new(b"key".to_vec(), here, vec![])).unwrap();
    let ours: Vec<Multiaddr> = vec!["/ip4/5.6.7.8/tcp/4001".parse().unwrap()];

    records.set_own_addresses(ours.clone());

    assert_eq!(records.providers(&RecordKey::from(b"key".to_vec()))[0].addresses, ours);
}
