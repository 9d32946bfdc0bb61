//! Who is let in, on every route.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, AUTHORIZATION, HOST, ORIGIN, REFERER, USER_AGENT,
};
use axum::http::{HeaderName, Method, StatusCode};

use super::{House, port};
use crate::api::doors::Doors;
use crate::api::{PREFIX, routes};
use crate::config::Auth;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

#[tokio::test]
async fn every_route_takes_post_alone() {
    let api = House::new(|_| Doors::local());
    for (name, _) in routes() {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH] {
            let response = api.call(method.clone(), name, &[]).await;

            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {name}");
            assert_eq!(response.headers()[ALLOW], "OPTIONS, POST", "{method} {name}");
        }
        let response = api.call(Method::OPTIONS, name, &[]).await;

        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{name}");
        assert_eq!(response.headers()[ALLOW], "OPTIONS, POST", "{name}");
    }
}

#[tokio::test]
async fn every_route_is_shut_to_pages_from_elsewhere() {
    let port = House::new(port);
    let socket = House::new(|_| Doors::local());
    let pages: [&[(HeaderName, &str)]; 9] = [
        &[(ORIGIN, "https://evil.example")],
        &[(ORIGIN, "null")],
        &[(ORIGIN, "http://127.0.0.1:5002")],
        &[(ORIGIN, "http://localhost")],
        &[(ORIGIN, "http://localhost.evil.example:5001")],
        &[(REFERER, "https://evil.example/page")],
        &[(REFERER, "nonsense")],
        &[(ORIGIN, "http://127.0.0.1:5001"), (REFERER, "https://evil.example/http://127.0.0.1:5001")],
        &[(USER_AGENT, FIREFOX)],
    ];
    for (name, _) in routes() {
        for page in pages {
            for (house, door) in [(&port, "port"), (&socket, "socket")] {
                let response = house.post(name, page).await;

                assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name} on the {door} from {page:?}");
                assert!(
                    !response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) || page.len() > 1,
                    "{name} {page:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn every_route_is_open_to_programs_and_to_pages_that_are_allowed() {
    let house = House::new(port);
    let callers: [&[(HeaderName, &str)]; 8] = [
        &[],
        &[(USER_AGENT, "curl/8.5.0")],
        &[(USER_AGENT, "Mozilla/5.0 Electron/30.0")],
        &[(USER_AGENT, FIREFOX), (ORIGIN, "http://127.0.0.1:5001"), (REFERER, "http://127.0.0.1:5001/webui")],
        &[(ORIGIN, "https://localhost:5001")],
        &[(ORIGIN, "http://[::1]:5001")],
        &[(ORIGIN, "https://friend.example")],
        &[(ORIGIN, "chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch")],
    ];
    for (name, _) in routes() {
        for caller in callers {
            let response = house.post(name, caller).await;

            let closed = [
                StatusCode::FORBIDDEN,
                StatusCode::UNAUTHORIZED,
                StatusCode::METHOD_NOT_ALLOWED,
                StatusCode::NOT_FOUND,
            ];
            assert!(!closed.contains(&response.status()), "{name} from {caller:?}: {}", response.status());
            let origin = caller.iter().find(|(name, _)| *name == ORIGIN).map(|(_, origin)| *origin);
            let allowed = response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
            assert_eq!(allowed, origin, "{name} from {caller:?}");
        }
    }
}

#[tokio::test]
async fn every_path_of_the_port_asks_for_a_host_that_is_known() {
    let house = House::new(port);
    let names = routes().into_iter().map(|(name, _)| format!("{PREFIX}{name}"));
    for path in names.chain(["/".to_owned(), "/metrics".to_owned(), "/api/v0/nonsense".to_owned()]) {
        for host in [
            "evil.example",
            "evil.example:5001",
            "127.0.0.1.evil.example",
            "10.0.0.1:5001",
            "localhost@evil.example",
            "",
        ] {
            for method in [Method::POST, Method::GET, Method::OPTIONS] {
                let response = house.ask(method.clone(), &path, &[(HOST, host)]).await;

                assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {path} at {host:?}");
            }
        }
        for host in
            ["localhost", "LOCALHOST:5001", "127.0.0.1:5001", "127.9.9.9", "[::1]:5001", "box.example:80", "localhost."]
        {
            let response = house.ask(Method::POST, &path, &[(HOST, host)]).await;

            assert_ne!(response.status(), StatusCode::FORBIDDEN, "{path} at {host:?}");
        }
        let response = house.ask(Method::POST, &path, &[]).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path} without a host");
    }
}

#[tokio::test]
async fn every_route_asks_for_a_token_where_tokens_are_required() {
    let house = House::with(|api| api.auth = Auth::Required, port);
    for (name, _) in routes() {
        for shown in [
            None,
            Some("Bearer "),
            Some("Bearer secre"),
            Some("Bearer secrets"),
            Some("secret"),
            Some("Basic c2VjcmV0cw=="),
            Some("Basic !"),
        ] {
            let headers: Vec<_> = shown.map(|shown| (AUTHORIZATION, shown)).into_iter().collect();
            let response = house.post(name, &headers).await;

            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{name} with {shown:?}");
        }
        // The last is of anybody:secret.
        for shown in ["Bearer secret", "bearer secret", "Basic YW55Ym9keTpzZWNyZXQ="] {
            let response = house.post(name, &[(AUTHORIZATION, shown)]).await;

            assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{name} with {shown:?}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_no_call_asks_for_a_token_too() {
    let house = House::with(|api| api.auth = Auth::Required, port);
    for (path, status) in
        [("/", StatusCode::NOT_FOUND), ("/metrics", StatusCode::OK), ("/webui", StatusCode::NOT_FOUND)]
    {
        let host = (HOST, "localhost");

        let response = house.ask(Method::GET, path, std::slice::from_ref(&host)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");

        let response = house.ask(Method::GET, path, &[host, (AUTHORIZATION, "Bearer secret")]).await;
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_token_counts_from_when_it_is_added_until_it_is_taken_away() {
    let house = House::daemon(|api| api.auth = Auth::Required, port);
    let knock = async |token: &str| house.post("version", &[(AUTHORIZATION, token)]).await.status();
    let change = async |call: &str| house.post(call, &[(AUTHORIZATION, "Bearer secret")]).await;

    assert_eq!(knock("Bearer second").await, StatusCode::UNAUTHORIZED);
    let added = change("cidra/config/add?arg=api.tokens&arg=secret&arg=second").await;
    assert_eq!(added.status(), StatusCode::OK);
    assert_eq!(knock("Bearer second").await, StatusCode::OK);
    change("cidra/config/rm?arg=api.tokens&arg=second").await;

    assert_eq!(knock("Bearer second").await, StatusCode::UNAUTHORIZED);
    assert_eq!(knock("Bearer secret").await, StatusCode::OK);
}

#[tokio::test]
async fn without_tokens_nobody_has_the_right_one() {
    let house = House::with(
        |api| {
            api.auth = Auth::Required;
            api.tokens = vec![];
        },
        port,
    );

    assert_eq!(house.post("version", &[(AUTHORIZATION, "Bearer ")]).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_preflight_names_what_an_allowed_page_may_do_and_nothing_to_others() {
    let house = House::new(port);
    let preflight = |origin| [(ORIGIN, origin), (ACCESS_CONTROL_REQUEST_METHOD, "POST")];

    let allowed = house
        .call(
            Method::OPTIONS,
            "id",
            &[(HOST, "localhost"), (ORIGIN, "https://friend.example"), (ACCESS_CONTROL_REQUEST_METHOD, "POST")],
        )
        .await;
    let headers: Vec<_> = preflight("https://evil.example").into_iter().chain([(HOST, "localhost")]).collect();
    let refused = house.call(Method::OPTIONS, "id", &headers).await;

    assert_eq!(allowed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://friend.example");
    assert_eq!(allowed.headers()["access-control-allow-methods"], "POST");
    assert_eq!(refused.status(), StatusCode::NO_CONTENT);
    assert!(!refused.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn an_unknown_command_is_not_found() {
    let house = House::new(|_| Doors::local());

    assert_eq!(house.post("nonsense", &[]).await.status(), StatusCode::NOT_FOUND);
}
