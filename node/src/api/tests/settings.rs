//! Settings by their own names, through the API.

use serde_json::json;

use super::{House, port};
use crate::api::doors::Doors;
use crate::config::Config;

#[tokio::test]
async fn a_setting_is_changed_in_the_file_and_read_back() {
    let house = house();

    let set = house.object("cidra/config/set?arg=swarm.low_water&arg=7").await;
    let get = house.object("cidra/config/get?arg=swarm.low_water").await;
    let section = house.object("cidra/config/get?arg=swarm").await;
    let all = house.object("cidra/config/show").await;
    let unset = house.object("cidra/config/unset?arg=swarm.low_water").await;

    assert_eq!(set, json!({"Key": "swarm.low_water", "Value": 7, "Effect": "now"}));
    assert_eq!(get, json!({"Key": "swarm.low_water", "Value": 7}));
    assert_eq!((&section["Value"]["low_water"], &section["Value"]["high_water"]), (&json!(7), &json!(160)));
    assert_eq!((&all["swarm"]["low_water"], &all["api"]["auth"]), (&json!(7), &json!("none")));
    assert_eq!(unset["Value"], 96);
}

#[tokio::test]
async fn a_daemon_says_from_when_a_change_counts() {
    let house = House::daemon(|_| {}, |_| Doors::local());

    let set = house.object("cidra/config/set?arg=swarm.low_water&arg=7").await;
    let peers = house.object("cidra/config/set?arg=bootstrap.peers&arg=/ip4/192.0.2.1/tcp/1").await;

    assert_eq!((&set["Effect"], &peers["Effect"]), (&json!("restart"), &json!("now")));
    assert_eq!(house.object("bootstrap").await, json!({"Peers": ["/ip4/192.0.2.1/tcp/1"]}));
}

#[tokio::test]
async fn what_is_wrong_is_refused_as_wrong_usage() {
    let house = house();
    for (call, named) in [
        ("cidra/config/get?arg=swarm.low", "swarm.low_water"),
        ("cidra/config/set?arg=swarm.low_water&arg=few", "few"),
        ("cidra/config/set?arg=swarm.low_water", "a value"),
        ("cidra/config/add?arg=api.hosts", "at least one value"),
        ("cidra/config/rm?arg=api.hosts&arg=nobody", "nobody"),
        ("config?arg=Swarm.ConnMgr.LowWater&arg=7", "config set"),
    ] {
        let (status, exit, message) = house.error(call).await;

        assert!((status, exit.as_str()) == (400, "2") && message.contains(named), "{call}: {message}");
    }
}

#[tokio::test]
async fn tokens_are_shown_to_the_owner_who_asks_and_to_nobody_else() {
    let house = house();
    let over_tcp = House::new(port);
    house.object("cidra/config/add?arg=api.tokens&arg=hunter2").await;

    for call in ["cidra/config/show", "cidra/config/get?arg=api.tokens", "cidra/config/get?arg=api", "config/show"] {
        let answer = house.object(call).await.to_string();
        assert!(!answer.contains("hunter2") && (call == "config/show" || answer.contains("(hidden)")), "{answer}");
    }
    let shown = house.object("cidra/config/get?arg=api.tokens&secrets=true").await;
    assert_eq!(shown["Value"], json!(["hunter2"]));
    for call in ["cidra/config/show?secrets=true", "cidra/config/get?arg=api.tokens&secrets=true"] {
        let refused = over_tcp.post(call, &[]).await;
        assert_eq!(refused.status(), 400, "{call}");
    }
}

#[tokio::test]
async fn a_bootstrap_list_from_a_flag_stays_out_of_the_file() {
    let flag = "/ip4/192.0.2.1/tcp/1";
    let [mine, added] = ["/ip4/192.0.2.2/tcp/1", "/ip4/192.0.2.3/tcp/1"];
    let house = House::with_bootstrap(&[flag]);
    house.object(&format!("cidra/config/set?arg=bootstrap.peers&arg={mine}")).await;

    house.object(&format!("bootstrap/add?arg={added}")).await;

    assert_eq!(house.object("bootstrap").await, json!({"Peers": [added, flag]}));
    assert_eq!(file(&house), [added, mine]);
    assert_eq!(house.object(&format!("bootstrap/rm?arg={flag}")).await, json!({"Peers": [flag]}));
    assert_eq!(file(&house), [added, mine]);
    assert_eq!(house.object("bootstrap/rm/all").await, json!({"Peers": [added, mine]}));
    assert_eq!(file(&house), Vec::<String>::new());
}

#[tokio::test]
async fn the_bootstrap_list_is_changed_here_and_in_the_file() {
    let house = house();
    let peer = "/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
    let (one, two) = (format!("/ip4/192.0.2.1/tcp/1{peer}"), "/ip4/192.0.2.2/tcp/2");
    let public = house.object("bootstrap").await;
    assert_eq!(house.object("bootstrap/rm/all").await, public);

    assert_eq!(
        house.object(&format!("bootstrap/add?arg={one}&arg={two}&arg={one}")).await,
        json!({"Peers": [one, two]})
    );

    assert_eq!(house.object("bootstrap/list").await, json!({"Peers": [one, two]}));
    let file = std::fs::read_to_string(house.node.repository().config()).unwrap();
    assert!(file.contains(&one) && file.contains(two), "{file}");
    assert_eq!(house.object(&format!("bootstrap/rm?arg={peer}")).await, json!({"Peers": [one]}));
    assert_eq!(house.object("bootstrap/rm/all").await, json!({"Peers": [two]}));
    assert_eq!(house.object("bootstrap").await, json!({"Peers": []}));
    assert_eq!(house.object("bootstrap/add/default").await, public);
    assert_eq!(house.object("bootstrap").await, public);
    assert_eq!(house.error(&format!("bootstrap/add?arg={peer}")).await.0, 400);
}

fn file(house: &House) -> Vec<String> {
    let config = Config::load(&house.node.repository().config()).unwrap();
    config.bootstrap.peers.iter().map(ToString::to_string).collect()
}

fn house() -> House {
    House::new(|_| Doors::local())
}
