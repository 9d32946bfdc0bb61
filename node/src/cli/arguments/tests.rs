//! What may be typed, and what the help says of it.

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    let matches = command().try_get_matches_from(line.split_whitespace())?;
    Arguments::from_arg_matches(&matches)
}

#[test]
fn the_command_line_is_sound() {
    command().debug_assert();
}

#[test]
fn the_help_of_each_command_has_an_example() {
    fn check(command: &ClapCommand, path: &str) {
        let help = command.clone().render_long_help().to_string();
        assert!(help.contains("Example"), "cidra{path} --help has no example:\n{help}");
        let shows_it = help.split("Example").skip(1).any(|text| text.contains(&format!("cidra{path}")));
        assert!(shows_it, "the example of cidra{path} shows another command:\n{help}");
        for below in command.get_subcommands() {
            check(below, &format!("{path} {}", below.get_name()));
        }
    }
    check(&command(), "");
}

#[test]
fn each_example_parses() {
    fn check(command: &ClapCommand, count: &mut usize) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.contains("cidra "));
        for example in examples {
            for line in commands_in(example) {
                if let Err(error) = command_of(&line) {
                    panic!("`{example}` of {} is wrong: {error}", command.get_name());
                }
                *count += 1;
            }
        }
        command.get_subcommands().for_each(|below| check(below, count));
    }
    let mut count = 0;
    check(&command(), &mut count);
    assert!(count > 40, "{count}");
}

/// The calls of ours in a line of shell, names filled in.
fn commands_in(example: &str) -> Vec<Vec<String>> {
    let mut line = example
        .replace("12D3KooW…", "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5")
        .replace("OLD_CID", "bafkqaaa")
        .replace("NEW_CID", "bafkqaaa")
        .replace("CID", "bafkqaaa")
        .replace("bafybei…", "bafkqaaa")
        .replace("&&", "|");
    let mut calls = vec![];
    while let Some((before, inner, after)) = line.split_once("$(").and_then(|(before, rest)| {
        let (inner, after) = rest.split_once(')')?;
        Some((before.to_owned(), inner.to_owned(), after.to_owned()))
    }) {
        calls.push(inner);
        line = format!("{before}filled{after}");
    }
    calls.extend(line.split(['|', '>', ';']).map(|call| call.split("   ").next().unwrap_or(call).trim().to_owned()));
    let words = |call: &String| call.split_whitespace().map(|word| word.replace(['\'', '"'], "")).collect();
    calls.iter().filter(|call| call.starts_with("cidra ")).map(words).collect()
}

fn command_of(words: &[String]) -> Result<Arguments, clap::Error> {
    Arguments::from_arg_matches(&command().try_get_matches_from(words)?)
}

#[test]
fn booleans_take_a_value_and_short_ones_stand_together() {
    for (line, expected) in [
        ("cidra pin ls --json", true),
        ("cidra pin ls --json=true", true),
        ("cidra pin ls --json=false", false),
        ("cidra --json pin ls", true),
    ] {
        assert_eq!(parse(line).unwrap().global.json, expected, "{line}");
    }
    assert!(!parse("cidra id --progress=false").unwrap().global.progress);
    assert!(parse("cidra id").unwrap().global.progress);
    let Command::Add(add) = parse("cidra add -rwQ=false x").unwrap().command else { panic!("it is add") };
    assert!(add.wrap && !add.quieter);
}

#[test]
fn node_flags_stand_before_and_after_the_command() {
    for line in [
        "cidra --bootstrap none --listen /ip4/1.2.3.4/tcp/1 id",
        "cidra id --bootstrap none --listen /ip4/1.2.3.4/tcp/1",
    ] {
        let flags = parse(line).unwrap().global.node;
        assert_eq!(flags.bootstrap_list(), Some(vec![]), "{line}");
        assert_eq!(flags.listen.len(), 1, "{line}");
    }
}

#[test]
fn what_does_not_parse_is_named() {
    for (line, named) in [
        ("cidra cat nonsense", "nonsense"),
        ("cidra get bafkqaaa --peer /ip4/300.1.1.1/tcp/1", "/ip4/300.1.1.1/tcp/1"),
        ("cidra id --timeout soon", "soon"),
        ("cidra ping 12D3", "12D3"),
        ("cidra id --api 5001", "5001"),
    ] {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} is refused"));
        assert!(error.to_string().contains(named) && error.exit_code() == 2, "{line}: {error}");
    }
}
