//! Path gateway: <https://specs.ipfs.tech/http-gateways/path-gateway/>.

use super::house::House;

const PAGE: &[(&str, &str)] = &[("Accept", "text/html")];

#[tokio::test]
async fn content_type_is_told_by_the_name_and_else_by_the_bytes() {
    let house = House::new().await;
    let [text, json, png] = [&b"hello\n"[..], b"{\"a\":1}", b"\x89PNG\r\n\x1a\n..."];
    let (text, json, png) = (house.raw(text).await, house.raw(json).await, house.raw(png).await);
    let folder = house.folder(&[("a.css", text), ("b", json), ("c.unknown", png)]).await;

    for (name, expected) in
        [("a.css", "text/css; charset=utf-8"), ("b", "application/json"), ("c.unknown", "image/png")]
    {
        let answer = house.get(&format!("/ipfs/{folder}/{name}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, expected), "{name}");
    }
    let renamed = house.get(&format!("/ipfs/{folder}/b?filename=x.html")).await;
    assert_eq!(renamed.header("content-type"), "text/html; charset=utf-8");
}

#[tokio::test]
async fn etag_cache_control_and_roots_stand_for_the_content() {
    let house = House::new().await;
    let file = house.raw("hello\n").await;
    let inner = house.folder(&[("file", file)]).await;
    let root = house.folder(&[("inner", inner)]).await;

    let answer = house.get(&format!("/ipfs/{root}/inner/file")).await;

    assert_eq!(answer.text(), "hello\n");
    assert_eq!(answer.header("etag"), format!("\"{file}\""));
    assert_eq!(answer.header("cache-control"), "public, max-age=29030400, immutable");
    assert_eq!(answer.header("x-ipfs-path"), format!("/ipfs/{root}/inner/file"));
    assert_eq!(answer.header("x-ipfs-roots"), format!("{root},{inner},{file}"));
}

#[tokio::test]
async fn if_none_match_of_the_same_etag_is_not_modified() {
    let house = House::new().await;
    let file = house.raw("hello\n").await;
    let folder = house.folder(&[("a", file)]).await;
    let listing = house.get(&format!("/ipfs/{folder}/")).await.header("etag").to_owned();

    for (path, tag) in [
        (format!("/ipfs/{file}"), format!("\"{file}\"")),
        (format!("/ipfs/{file}"), format!("\"x\", W/\"{file}\"")),
        (format!("/ipfs/{file}"), "*".to_owned()),
        (format!("/ipfs/{file}?format=raw"), format!("\"{file}.raw\"")),
        (format!("/ipfs/{folder}/"), listing),
    ] {
        let answer = house.ask("GET", &path, &[("If-None-Match", &tag)]).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{path} {tag}");
    }
    let other = house.ask("GET", &format!("/ipfs/{file}"), &[("If-None-Match", "\"x\"")]).await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn head_gives_the_headers_of_get_and_no_payload() {
    let house = House::new().await;
    let file = house.file(&["hello ", "world"], &[1]).await;
    let folder = house.folder(&[("a.txt", file)]).await;

    let answer = house.ask("HEAD", &format!("/ipfs/{folder}/a.txt"), &[]).await;

    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, "11", 0));
    assert_eq!(house.ask("HEAD", &format!("/ipfs/{folder}/"), &[]).await.status, 200);
}

#[tokio::test]
async fn directory_url_is_normalized_by_a_redirect() {
    let house = House::new().await;
    let file = house.raw("x").await;
    let inner = house.folder(&[("file", file)]).await;
    let root = house.folder(&[("ą b", inner)]).await;

    let answer = house.get(&format!("/ipfs/{root}/%C4%85%20b?x=1&y")).await;

    assert_eq!((answer.status, answer.header("location")), (301, &format!("/ipfs/{root}/%C4%85%20b/?x=1&y")[..]));
    assert_eq!(house.get(&format!("/ipfs/{root}")).await.header("location"), format!("/ipfs/{root}/"));
}

#[tokio::test]
async fn index_html_stands_for_its_directory() {
    let house = House::new().await;
    let page = house.raw("<p>hi</p>").await;
    let folder = house.folder(&[("index.html", page)]).await;

    let answer = house.get(&format!("/ipfs/{folder}/")).await;

    assert_eq!((answer.text(), answer.header("content-type")), ("<p>hi</p>", "text/html; charset=utf-8"));
    assert_eq!(answer.header("etag"), format!("\"{folder}\""));
    assert_eq!(answer.header("cache-control"), "public, max-age=29030400, immutable");
}

#[tokio::test]
async fn generated_directory_index_shows_names_as_text() {
    let house = House::new().await;
    let file = house.raw("x").await;
    let link = house.link("a").await;
    let evil = "<script>alert('1')\n\"&";
    let inner = house.folder(&[(evil, file), ("link", link), ("%41?#", file)]).await;
    let root = house.folder(&[("in", inner)]).await;

    let page = house.get(&format!("/ipfs/{root}/in/")).await;

    assert!(page.is_whole && page.header("etag").starts_with("\"DirIndex-"), "{page:?}");
    let text = page.text();
    assert!(!text.contains("<script") && text.contains("&lt;script&gt;alert(&#39;1&#39;)\u{fffd}&#34;&amp;<"));
    assert!(text.contains(&format!("<a href=\"/ipfs/{root}/in/..\">..</a>")), "{text}");
    let address = format!("/ipfs/{root}/in/%3Cscript%3Ealert('1')%0A%22&");
    assert!(
        text.contains(&address.replace('\'', "&#39;").replace('&', "&amp;").replace("&amp;#39;", "&#39;")),
        "{text}"
    );
    assert_eq!(house.get(&address).await.text(), "x", "what is linked is there");
    assert_eq!(house.get(&format!("/ipfs/{root}/in/%2541%3F%23")).await.text(), "x");
    assert_eq!(house.get(&format!("/ipfs/{root}/in/link")).await.text(), "a");
}

#[tokio::test]
async fn a_listing_of_ten_thousand_entries_looks_into_none() {
    let house = House::new().await;
    let missing = cidra_content::Block::new(cidra_content::block::DAG_PB, bytes::Bytes::from_static(b"\n\x02\x08\x01"));
    let names: Vec<String> = (0..10_000).map(|number| format!("file-{number:05}-{}", "n".repeat(30))).collect();
    let entries: Vec<(&str, cidra_content::Cid)> = names.iter().map(|name| (&name[..], *missing.cid())).collect();
    let folder = house.folder(&entries).await;

    let page = house.get(&format!("/ipfs/{folder}/")).await;

    assert!(page.is_whole);
    assert_eq!(page.text().matches("<tr>").count(), 10_000);
}

#[tokio::test]
async fn traversal_errors_have_the_status_of_the_specification() {
    let house = House::new().await;
    let file = house.raw("x").await;
    let folder = house.folder(&[("a", file)]).await;

    for (path, status, told) in [
        ("/ipfs/nonsense".to_owned(), 400, "invalid path \"/ipfs/nonsense\""),
        ("/ipfs/QmInvalidCID".to_owned(), 400, "invalid path"),
        (format!("/ipfs/{folder}/b"), 404, "no link named \"b\""),
        (format!("/ipfs/{file}/b"), 404, "no link named \"b\""),
        (format!("/ipfs/{folder}/%2e%2e/%2e%2e/etc/passwd"), 400, "above"),
        (format!("/ipfs/{folder}/%ff"), 400, "UTF-8"),
        ("/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".to_owned(), 404, "is not here"),
        ("/etc/passwd".to_owned(), 404, "/ipfs/CID"),
    ] {
        let answer = house.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(told), "{path}: {}", answer.text());
        let page = house.ask("GET", &path, PAGE).await;
        assert!(page.status == status && page.text().ends_with("</html>\n"), "{path}");
    }
}

#[tokio::test]
async fn only_if_cached_fails_with_412_where_it_is_not_here() {
    let house = House::new().await;
    let file = house.raw("x").await;
    let header = [("Cache-Control", "only-if-cached")];

    for method in ["GET", "HEAD"] {
        assert_eq!(house.ask(method, &format!("/ipfs/{file}"), &header).await.status, 200);
        let missing = "/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN";
        assert_eq!(house.ask(method, missing, &header).await.status, 412);
    }
}

#[tokio::test]
async fn content_disposition_has_the_name_in_both_forms() {
    let house = House::new().await;
    let file = house.raw("x").await;

    let answer = house.get(&format!("/ipfs/{file}?filename=test%D1%82%22.pdf&download=true")).await;

    let expected = "attachment; filename=\"test_%22.pdf\"; filename*=UTF-8''test%D1%82%22.pdf";
    assert_eq!(answer.header("content-disposition"), expected);
    assert_eq!(house.get(&format!("/ipfs/{file}?download=true")).await.header("content-disposition"), "attachment");
    assert_eq!(house.get(&format!("/ipfs/{file}")).await.header("content-disposition"), "");
}

#[tokio::test]
async fn a_service_worker_is_not_registered_for_a_whole_root() {
    let house = House::new().await;
    let script = house.raw("self").await;
    let folder = house.folder(&[("a.js", script)]).await;
    let header = [("Service-Worker", "script")];

    assert_eq!(house.ask("GET", &format!("/ipfs/{script}"), &header).await.status, 400);
    assert_eq!(house.ask("GET", &format!("/ipfs/{folder}/a.js"), &header).await.status, 200);
}

#[tokio::test]
async fn a_file_that_misses_a_block_never_looks_whole() {
    let house = House::new().await;
    let broken = house.file(&["hello ", "world"], &[1]).await;
    let address = format!("/ipfs/{broken}?filename=a.txt");

    let whole = house.get(&address).await;
    let cut = house.ask("GET", &address, &[("Range", "bytes=0-1,7-8")]).await;

    assert!(whole.status == 404 && whole.is_whole, "what fails before the first byte has a status: {whole:?}");
    // Nothing at all came, or less than its headers say.
    assert!(matches!(cut.status, 0 | 206) && !cut.is_whole, "{cut:?}");
}

#[tokio::test]
async fn the_gateway_reads_and_nothing_else() {
    let house = House::new().await;
    let file = house.raw("x").await;

    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        let answer = house.ask(method, &format!("/ipfs/{file}"), &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, OPTIONS"), "{method}");
    }
    let options = house.ask("OPTIONS", &format!("/ipfs/{file}"), &[("Origin", "https://a.example")]).await;
    assert_eq!((options.status, options.header("access-control-allow-origin")), (204, "*"));
}

#[tokio::test]
async fn tar_has_files_and_folders_and_no_name_that_leads_out() {
    let house = House::new().await;
    let file = house.raw("x").await;
    let folder = house.folder(&[("a", file)]).await;

    let answer = house.get(&format!("/ipfs/{folder}?format=tar")).await;

    assert_eq!(answer.header("content-type"), "application/x-tar");
    assert_eq!(answer.header("etag"), format!("W/\"{folder}.x-tar\""));
    let mut archive = tar::Archive::new(&answer.body[..]);
    let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    assert_eq!(names.collect::<Vec<_>>(), [folder.to_string(), format!("{folder}/a")]);
}
