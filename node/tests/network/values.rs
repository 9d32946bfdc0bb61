use std::time::Duration;

use bytes::Bytes;
use cidra_content::ipns::{Draft, Moment, Name, RecordError};
use cidra_node::keys::name_of;
use cidra_node::network::{Config, Routing};
use futures::StreamExt;
use libp2p::identity::Keypair;

use crate::house::{House, TCP, config};

fn record(keypair: &Keypair, sequence: u64) -> Bytes {
    let validity = Moment::after_1970(Duration::MAX);
    let value = "/ipfs/bafkqaaa".to_owned();
    let draft = Draft { value, validity, sequence, ttl: Duration::ZERO, version_1: true };
    let public_key = keypair.public().encode_protobuf();
    draft.sign(&public_key, |message| Ok::<_, RecordError>(keypair.sign(message).unwrap())).unwrap()
}

async fn values(house: &House, name: &Name) -> Vec<Bytes> {
    house.network.get_values(name.routing_key()).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_kept_by_others_and_found_there() {
    let carol = House::new(&[]).await;
    let (alice, bob) = (House::new(&[&carol]).await, House::new(&[&carol]).await);
    let keypair = Keypair::generate_ed25519();
    let (name, first, second) = (name_of(&keypair), record(&keypair, 1), record(&keypair, 2));

    // No peer is known yet: that one is about to come is enough.
    assert!(alice.network.put_value(name.routing_key(), first.clone()).await >= 1);
    assert!(values(&bob, &name).await.contains(&first));
    alice.network.put_value(name.routing_key(), second.clone()).await;
    let found = values(&bob, &name).await;
    assert!(found.contains(&second) && !found.contains(&first));

    // The worse one is refused, and those who have the better keep it.
    alice.network.put_value(name.routing_key(), first.clone()).await;
    assert!(values(&bob, &name).await.contains(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_is_kept_by_nobody() {
    let carol = House::new(&[]).await;
    let (alice, bob) = (House::new(&[&carol]).await, House::new(&[&carol]).await);
    let name = name_of(&Keypair::generate_ed25519());
    let of_another = record(&Keypair::generate_ed25519(), 1);

    alice.network.put_value(name.routing_key(), of_another).await;

    assert_eq!(values(&bob, &name).await, Vec::<Bytes>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_part_in_the_dht_tells_nobody_and_asks_nobody() {
    let alice = House::with(Config { routing: Routing::None, ..config(TCP) }).await;
    let keypair = Keypair::generate_ed25519();
    let name = name_of(&keypair);

    assert_eq!(alice.network.put_value(name.routing_key(), record(&keypair, 1)).await, 0);
    assert_eq!(values(&alice, &name).await, Vec::<Bytes>::new());
}
