//! Pins that are replaced, and whether they are whole.

use cidra_content::dag_pb::{Link, Node as PbNode};
use cidra_content::walk::MAX_AHEAD;
use cidra_content::{Block, Cid, block};
use serde_json::{Value, json};

use super::House;
use crate::api::doors::Doors;
use crate::api::pin::MAX_BAD;

impl House {
    /// Stores a node with these children, and those that are not `missing`.
    async fn keep(&self, children: &[Block], missing: &[usize]) -> Cid {
        let link = |child: &Block| Link { cid: *child.cid(), name: "".into(), tsize: 1 };
        let node = PbNode { links: children.iter().map(link).collect(), data: None };
        let node = Block::new(block::DAG_PB, node.encode());
        let cid = *node.cid();
        let here = children.iter().enumerate().filter(|(place, _)| !missing.contains(place)).map(|(_, block)| block);
        self.node.store().put(here.cloned().chain([node]).collect()).await.unwrap();
        cid
    }

    async fn pinned(&self) -> Value {
        self.object("pin/ls?type=recursive&names=true").await["Keys"].clone()
    }
}

fn house() -> House {
    House::new(|_| Doors::local())
}

fn leaves(numbers: std::ops::Range<usize>) -> Vec<Block> {
    numbers.map(|number| Block::new(block::RAW, number.to_string().into())).collect()
}

#[tokio::test]
async fn a_pin_is_replaced_under_its_name() {
    let house = house();
    let old = house.keep(&leaves(0..3), &[]).await;
    let new = house.keep(&leaves(1..4), &[]).await;
    house.object(&format!("pin/add?arg={old}&name=website")).await;

    let updated = house.object(&format!("pin/update?arg={old}&arg={new}")).await;

    assert_eq!(updated, json!({"Pins": [old.to_string(), new.to_string()]}));
    assert_eq!(house.pinned().await, json!({new.to_string(): {"Type": "recursive", "Name": "website"}}));
    house.object(&format!("pin/update?arg={new}&arg={old}&unpin=false")).await;
    assert_eq!(house.pinned().await.as_object().unwrap().len(), 2);
    assert_eq!(
        house.error(&format!("pin/update?arg={new}&arg={old}")).await.2,
        format!("{old}: 'to' cid was already recursively pinned")
    );
    let same = house.object(&format!("pin/update?arg={new}&arg={new}")).await;
    assert_eq!(same, json!({"Pins": [new.to_string(), new.to_string()]}));
    assert_eq!(house.pinned().await.as_object().unwrap().len(), 2, "a pin does not take itself away");
}

#[tokio::test]
async fn a_pin_keeps_its_name_unless_it_gets_another() {
    let house = house();
    let cid = house.keep(&leaves(0..3), &[]).await;
    let name = async || house.pinned().await[cid.to_string()]["Name"].clone();
    house.object(&format!("pin/add?arg={cid}&name=website")).await;

    house.object(&format!("pin/add?arg={cid}")).await;
    assert_eq!(name().await, "website");
    // As clients do that have no name to give.
    house.object(&format!("pin/add?arg={cid}&name=")).await;
    assert_eq!(name().await, "website");
    house.node.record_pin(cid, true, None).await.unwrap();
    assert_eq!(name().await, "website");
    house.object(&format!("pin/add?arg={cid}&name=blog")).await;
    assert_eq!(name().await, "blog");
    house.object(&format!("pin/rm?arg={cid}")).await;
    house.object(&format!("pin/add?arg={cid}")).await;
    assert_eq!(name().await, "", "one that was taken away has none to keep");
}

#[tokio::test]
async fn a_pin_stays_when_what_should_replace_it_is_not_here() {
    let house = house();
    let old = house.keep(&leaves(0..3), &[]).await;
    let partial = house.keep(&leaves(1..4), &[2]).await;
    let direct = house.keep(&leaves(0..2), &[]).await;
    house.object(&format!("pin/add?arg={old}")).await;
    house.object(&format!("pin/add?arg={direct}&recursive=false")).await;

    let (_, exit, message) = house.error(&format!("pin/update?arg={old}&arg={partial}&offline=true")).await;

    assert_eq!(exit, "3", "{message}");
    assert_eq!(house.pinned().await.as_object().unwrap().keys().collect::<Vec<_>>(), [&old.to_string()]);
    for unpinned in [partial, direct] {
        let (_, exit, message) = house.error(&format!("pin/update?arg={unpinned}&arg={old}")).await;
        assert_eq!((&*exit, message.contains("was not recursively pinned already")), ("1", true), "{message}");
    }
    let (_, exit, _) = house.error(&format!("pin/update?arg={old}")).await;
    assert_eq!(exit, "2");
}

#[tokio::test]
async fn broken_pins_are_named_with_what_they_lack() {
    let house = house();
    let whole = house.keep(&leaves(0..600), &[]).await;
    let children = leaves(1000..1600);
    let broken = house.keep(&children, &[300]).await;
    let above = house.keep(&[house.node.store().block(&broken).await.unwrap().unwrap()], &[]).await;
    for cid in [whole, broken, above] {
        house.node.record_pin(cid, true, None).await.unwrap();
    }
    let gap = json!([{
        "Cid": children[300].cid().to_string(),
        "Err": format!("block was not found locally (offline): ipld: could not find {}", children[300].cid()),
    }]);

    let mut told = house.objects("pin/verify?verbose=true").await;

    let mut expected = vec![
        json!({"Cid": whole.to_string(), "Ok": true}),
        json!({"Cid": broken.to_string(), "BadNodes": gap}),
        json!({"Cid": above.to_string(), "BadNodes": gap}),
    ];
    for objects in [&mut told, &mut expected] {
        objects.sort_by_key(|object| object["Cid"].as_str().unwrap().to_owned());
    }
    assert_eq!(told, expected);
    let quiet = house.objects("pin/verify?quiet=true").await;
    assert!(quiet.len() == 2 && quiet.iter().all(|object| object.as_object().unwrap().len() == 1), "{quiet:?}");
    assert_eq!(house.error("pin/verify?quiet=true&verbose=true").await.1, "2");
}

#[tokio::test]
async fn so_many_gaps_of_a_pin_are_named_and_no_more() {
    let house = house();
    let most = house.keep(&leaves(0..MAX_BAD), &(0..MAX_BAD).collect::<Vec<_>>()).await;
    house.node.record_pin(most, true, None).await.unwrap();
    assert_eq!(house.object("pin/verify").await["BadNodes"].as_array().unwrap().len(), MAX_BAD);
    let more = house.keep(&leaves(0..MAX_BAD + 1), &(0..MAX_BAD + 1).collect::<Vec<_>>()).await;
    house.node.unpin(&most).await.unwrap();
    house.node.record_pin(more, true, None).await.unwrap();

    assert_eq!(house.object("pin/verify").await["BadNodes"].as_array().unwrap().len(), MAX_BAD);
}

#[tokio::test]
async fn a_pin_that_is_too_wide_is_one_bad_line_and_the_next_is_looked_at() {
    let house = house();
    let link = |cid: Cid| PbNode { links: vec![Link { cid, name: "".into(), tsize: 1 }], data: None }.encode();
    let waiting = link(*leaves(0..1)[0].cid()).repeat(WIDTH - 1);
    // More of them than it takes, so that each level past the limit would be told of if the walk went on.
    let levels = MAX_AHEAD / (WIDTH - 1) + 4;
    let mut below = leaves(1..2).remove(0);
    for _ in 0..levels {
        let node = [&link(*below.cid())[..], &waiting].concat();
        house.node.store().put(vec![below]).await.unwrap();
        below = Block::new(block::DAG_PB, node.into());
    }
    let wide = *below.cid();
    house.node.store().put(vec![below]).await.unwrap();
    let whole = house.keep(&leaves(10..13), &[]).await;
    for cid in [wide, whole] {
        house.node.record_pin(cid, true, None).await.unwrap();
    }

    let told = house.objects("pin/verify?verbose=true").await;

    assert!(told.contains(&json!({"Cid": whole.to_string(), "Ok": true})), "{told:?}");
    let told = told.iter().find(|pin| pin["Cid"] == wide.to_string()).unwrap();
    let bad = told["BadNodes"].as_array().unwrap();
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert!(bad[0]["Err"].as_str().unwrap().starts_with("the DAG is too wide"), "{bad:?}");
}

/// Links of a node of less than a mebibyte and a half.
const WIDTH: usize = 30_000;
