//! Tokens of the API, with real processes: made, shown to nobody, asked for, revoked.

use cidra_tests::{Daemon, Finished, Repository, rpc};

#[test]
fn a_token_lets_in_until_it_is_revoked_and_is_said_nowhere() {
    let repository = Repository::new();
    repository.cidra(["config", "api.auth", "required"]).run().success();
    let made = repository.cidra(["config", "add", "api.tokens", "--generate"]).run().success();
    let token = made.text();
    assert!(token.len() > 40 && !made.stderr.contains(token));
    // The most that a log can say.
    let call = repository.daemon_call(&[], &["--listen", "/ip4/127.0.0.1/tcp/0", "-vv"]).env("CIDRA_LOG", "trace");
    let daemon = Daemon::start(call, "Daemon is ready");
    let address = std::fs::read_to_string(repository.path().join("api")).expect("a daemon writes it");
    let elsewhere = |arguments: &[&str]| repository.cidra(["--api", address.trim()]).args(arguments);

    let without = elsewhere(&["id"]).run().exits(1);
    let wrong = elsewhere(&["id", "--api-auth", "not-the-token"]).run().exits(1);
    assert!([&without, &wrong].iter().all(|refused| refused.stderr.contains("--api-auth")), "{without:?} {wrong:?}");
    assert!(!wrong.stderr.contains("not-the-token"), "{}", wrong.stderr);
    elsewhere(&["id", "--api-auth", token]).run().success();
    elsewhere(&["id", "--api-auth", &format!("basic:anybody:{token}")]).run().success();
    let with_token = |arguments: &[&str]| elsewhere(arguments).env("CIDRA_API_AUTH", token).run();
    with_token(&["add", "-Q", "-"]).success();
    let parts: Vec<&str> = address.trim().split('/').collect();
    let endpoint = format!("{}:{}", parts[2], parts[4]);
    assert_eq!(rpc::call(&endpoint, "id", None, &[]).status, 401);
    assert_eq!(rpc::call(&endpoint, "id", None, &[&format!("Authorization: Bearer {token}")]).status, 200);

    let masked = [with_token(&["config", "show"]), with_token(&["config", "get", "api", "--json"])];
    assert!(masked.iter().all(|shown| says(shown, "(hidden)") && !says(shown, token)), "{masked:?}");
    with_token(&["config", "get", "api.tokens", "--secrets"]).exits(2);
    let own = repository.cidra(["config", "get", "api.tokens", "--secrets"]).run().success();
    assert!(says(&own, token));

    repository.cidra(["config", "rm", "api.tokens", "-"]).input(token).run().success();
    with_token(&["id"]).exits(1);
    let log = daemon.stop();
    assert!(log.stderr.len() > 1000 && !says(&log, token), "the log has a token");
}

fn says(finished: &Finished, text: &str) -> bool {
    finished.stderr.contains(text) || String::from_utf8_lossy(&finished.stdout).contains(text)
}
