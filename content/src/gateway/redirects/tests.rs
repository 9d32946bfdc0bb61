use proptest::prelude::*;

use super::*;

/// The example of the specification.
const EXAMPLE: &str = "/redirect-one /one.html\n\
    /301-redirect-one /one.html 301\r\n\
    \t/302-redirect-two   /two.html 302  \n\
    # a comment\n\n\
    /200-index /index.html 200\n\
    /posts/:year/:month/:day/:title /articles/:year/:month/:day/:title 301\n\
    /splat/* /redirected-splat/:splat 301\n\
    /not-found/* /404.html 404\n\
    /source1/* /target?a=b&c=d 301\n\
    /source2/:code/:name /target?code=:code&name=:name 308\n\
    /source3/* https://example.net/t/:splat 307\n\
    /* /index.html 200";

fn find(path: &str, query: &str) -> Option<Redirect> {
    Redirects::parse(EXAMPLE.as_bytes()).unwrap().find(path, &Query::parse(query))
}

fn go(status: u16, location: &str) -> Option<Redirect> {
    Some(Redirect::Go { status, location: location.to_owned() })
}

fn show(status: u16, path: &str) -> Option<Redirect> {
    Some(Redirect::Show { status, path: path.to_owned() })
}

#[test]
fn the_first_rule_that_fits_counts() {
    assert_eq!(find("/redirect-one", ""), go(301, "/one.html"));
    assert_eq!(find("/302-redirect-two", ""), go(302, "/two.html"));
    assert_eq!(find("/200-index", ""), show(200, "/index.html"));
    assert_eq!(find("/anything/else", ""), show(200, "/index.html"));
}

#[test]
fn placeholders_and_splats_go_into_the_target() {
    assert_eq!(find("/posts/2022/06/15/hello-world", ""), go(301, "/articles/2022/06/15/hello-world"));
    assert_eq!(find("/splat/a/b c", ""), go(301, "/redirected-splat/a/b%20c"));
    assert_eq!(find("/not-found/x/y", ""), show(404, "/404.html"));
}

#[test]
fn the_query_of_the_visitor_counts_more_than_that_of_the_rule() {
    assert_eq!(find("/source1/x", "c=1&e=2"), go(301, "/target?a=b&c=1&e=2"));
    assert_eq!(find("/source2/x/y", ""), go(308, "/target?code=x&name=y"));
    assert_eq!(find("/source3/a", "q=1"), go(307, "https://example.net/t/a?q=1"));
}

#[test]
fn what_a_visitor_writes_stays_a_part_of_the_path() {
    let location = |path: &str| match find(path, "") {
        Some(Redirect::Go { location, .. }) => location,
        other => panic!("{other:?}"),
    };

    assert_eq!(location("/source3/a\r\nSet-Cookie: x"), "https://example.net/t/a%0D%0ASet-Cookie%3A%20x");
    assert_eq!(location("/source2/a&b/?c#d"), "/target?code=a%26b&name=%3Fc%23d");
}

#[test]
fn a_placeholder_may_stand_in_the_target_more_than_once_and_within_longer_names() {
    let rules = Redirects::parse(b"/:a/:ab /:ab/:a/:a/:c").unwrap();

    assert_eq!(rules.find("/1/2", &Query::default()), go(301, "/2/1/1/:c"));
}

#[test]
fn a_malformed_rule_is_named_by_its_line() {
    for (file, why) in [
        ("/a /b\n/a", "line 2: it needs a from and a to"),
        ("/a /b 301!", "line 1: its status is no number"),
        ("/a /b 418", "none of 200"),
        ("/a b", "its to is no path"),
        ("/a https://x 200", "its to is no path"),
        ("a /b", "does not begin with a slash"),
        ("/a*b /c", "an asterisk"),
        ("/*/a /c", "an asterisk"),
        ("/a* /c", "an asterisk"),
        ("/:x/:x /c", "twice"),
        ("/: /c", "has no name"),
        ("/a /b 301 x", "behind its status"),
    ] {
        let error = Redirects::parse(file.as_bytes()).unwrap_err().to_string();

        assert!(error.contains(why), "{file}: {error}");
    }
    assert_eq!(Redirects::parse(b"\xff"), Err(RedirectsError::NotText));
}

#[test]
fn takes_the_longest_file_and_refuses_one_byte_more() {
    let file = [b"/a /b\n#", &vec![b'x'; MAX_FILE - 7][..]].concat();

    assert_eq!(Redirects::parse(&file).unwrap().rules.len(), 1);
    assert_eq!(Redirects::parse(&[&file[..], b"x"].concat()), Err(RedirectsError::TooLarge));
}

#[test]
fn a_target_of_very_many_placeholders_stays_short() {
    let file = format!("/* /{}", ":splat".repeat(10_000));
    let rules = Redirects::parse(file.as_bytes()).unwrap();

    let found = rules.find(&"x".repeat(8 << 10), &Query::default());

    let Some(Redirect::Go { location, .. }) = found else { panic!("{found:?}") };
    assert!(location.len() < file.len() + MAX_EXPANDED + (8 << 10));
}

proptest! {
    #[test]
    fn any_file_and_any_path_end(file: Vec<u8>, path: String, rule in "/[a:*/]{0,8} /[a:?#]{0,8} ?[0-9!]{0,3}") {
        for file in [&file[..], rule.as_bytes()] {
            if let Ok(rules) = Redirects::parse(file) {
                let _ = rules.find(&path, &Query::parse(&path));
            }
        }
    }
}
