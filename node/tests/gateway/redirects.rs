//! Web _redirects file: <https://specs.ipfs.tech/http-gateways/web-redirects-file/>. Its rules have tests in `content`.

use super::house::{Answer, House};

async fn site(house: &House, rules: &'static str, path: &str) -> Answer {
    let rules = house.raw(rules).await;
    let [page, lost, data] = ["my index", "my 404", "data"].map(|text| house.raw(text));
    let (page, lost, data) = (page.await, lost.await, data.await);
    let folder = house.folder(&[("_redirects", rules), ("index.html", page), ("404.html", lost), ("data", data)]).await;
    house.ask("GET", path, &[("Host", &format!("{folder}.ipfs.localhost"))]).await
}

#[tokio::test]
async fn rules_are_only_for_paths_that_are_not_there() {
    let house = House::new().await;

    let there = site(&house, "/* /elsewhere 301", "/data").await;
    let not_there = site(&house, "/* /elsewhere/:splat 302", "/no/t?q=1").await;

    assert_eq!((there.status, there.text()), (200, "data"));
    assert_eq!((not_there.status, not_there.header("location")), (302, "/elsewhere/no/t?q=1"));
}

#[tokio::test]
async fn a_rewrite_shows_another_file_under_its_status() {
    let house = House::new().await;

    let page = site(&house, "/* / 200", "/app/route").await;
    let lost = site(&house, "/* /404.html 404", "/lost").await;

    assert_eq!((page.status, page.text()), (200, "my index"));
    assert_eq!((lost.status, lost.text()), (404, "my 404"));
    assert_eq!(lost.header("cache-control"), "public, max-age=29030400, immutable");
    assert!(lost.header("etag").contains("bafkrei"), "that of the page which is shown");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told() {
    let house = House::new().await;
    let large: &'static str = String::leak("/a /b\n".repeat(20_000));

    let broken = site(&house, "/a /b 301!", "/x").await;
    let large = site(&house, large, "/x").await;
    let looped = site(&house, "/* /none 200", "/x").await;

    assert!(broken.status == 500 && broken.text().contains("could not parse _redirects: line 1"), "{broken:?}");
    assert!(large.status == 500 && large.text().contains("redirects file size cannot exceed"), "{large:?}");
    assert_eq!(looped.status, 404, "a rewrite is not rewritten again");
}

#[tokio::test]
async fn rules_need_an_origin_of_their_own() {
    let house = House::new().await;
    let rules = house.raw("/* /index.html 200").await;
    let page = house.raw("my index").await;
    let folder = house.folder(&[("_redirects", rules), ("index.html", page)]).await;

    assert_eq!(house.get(&format!("/ipfs/{folder}/not-there")).await.status, 404);
}
