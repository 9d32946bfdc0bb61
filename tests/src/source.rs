//! The project's Rust sources as the architecture test reads them: which paths a file names, and on which line.
//!
//! A scanner, no compiler: comments and literals are blanked, groups such as `a::{b, c::d}` are spread out, and what
//! stands behind `#[cfg(test)]` can be left aside. Names made by macros are not seen.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One source file. `test_modules` are the files of its `#[cfg(test)] mod tests;` lines: `node/src/store/tests`.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path from the workspace's root, with `/`.
    pub path: String,
    /// Its text as it stands.
    pub text: String,
    /// Whether all of it is test code.
    pub is_test: bool,
    names: Vec<Name>,
    shipped: Vec<Name>,
    test_modules: Vec<String>,
}

/// A path that a file names, such as `std::time::Instant::now`; a single word is a path of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The segments, generics left out.
    pub segments: Vec<String>,
    /// Counted from 1.
    pub line: usize,
    /// Stands before `(`.
    pub is_called: bool,
}

impl Name {
    /// The segments joined.
    pub fn path(&self) -> String {
        self.segments.join("::")
    }
}

impl Source {
    /// A file of this path and text; a file below `tests`, `benches` or `examples` is test code.
    pub fn new(path: &str, text: &str) -> Source {
        let is_test = path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples"));
        let code = blank_literals(text);
        let (shipped, modules) = blank_tests(&code);
        let folder = path.trim_end_matches(".rs");
        let folder = folder.strip_suffix("/lib").or(folder.strip_suffix("/main")).unwrap_or(folder);
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            is_test,
            names: names(&code),
            shipped: names(&shipped),
            test_modules: modules.iter().map(|module| format!("{folder}/{module}")).collect(),
        }
    }

    /// All sources of the workspace at this root, in order of their paths.
    pub fn workspace(root: &Path) -> Vec<Source> {
        let mut sources = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).expect("the checkout can be read") {
                let path = entry.expect("the checkout can be read").path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if path.is_dir() && name != "target" && !name.starts_with('.') {
                    open.push(path);
                } else if name.ends_with(".rs") {
                    let text = fs::read_to_string(&path).expect("sources are UTF-8");
                    let inner = path.strip_prefix(root).expect("found below the root");
                    sources.push(Source::new(&inner.to_string_lossy(), &text));
                }
            }
        }
        let tests: BTreeSet<String> = sources.iter().flat_map(|source| source.test_modules.clone()).collect();
        for source in &mut sources {
            source.is_test |= tests
                .iter()
                .any(|module| source.path == format!("{module}.rs") || source.path.starts_with(&format!("{module}/")));
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        sources
    }

    /// The crate's folder: `node` for `node/src/store/index.rs`.
    pub fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The module's path in its crate: `["store", "index"]` for `node/src/store/index.rs`; empty for `lib.rs`.
    pub fn module(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = self.path.trim_end_matches(".rs").split('/').skip(2).collect();
        if parts.last() == Some(&"lib") {
            parts.pop();
        }
        parts
    }

    /// Every path that the file names.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// Every path that the program names, tests left aside.
    pub fn shipped_names(&self) -> &[Name] {
        if self.is_test { &[] } else { &self.shipped }
    }
}

/// The text with comments, strings and characters blanked; line breaks stay.
fn blank_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end > at {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// Where the comment or literal that begins here ends; `at` itself where none begins.
fn literal_end(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let find = |from: usize, met: &dyn Fn(&[char]) -> bool| {
        (from..rest.len()).find(|i| met(&rest[*i..])).unwrap_or(rest.len())
    };
    let in_word = at > 0 && is_word(chars[at - 1]);
    let length = match rest {
        ['/', '/', ..] => find(2, &|tail| tail[0] == '\n'),
        ['/', '*', ..] => block_comment(rest),
        ['r', '"' | '#', ..] if !in_word => raw_string(&rest[1..]).map_or(0, |length| length + 1),
        ['b', 'r', '"' | '#', ..] if !in_word => raw_string(&rest[2..]).map_or(0, |length| length + 2),
        ['"', ..] => quoted(rest, '"'),
        ['\'', '\\', ..] => quoted(rest, '\''),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    };
    at + length.min(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// The length of `#"…"#` with as many `#` as it begins with; none where it is a raw identifier.
fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    if rest.get(hashes) != Some(&'"') {
        return None;
    }
    let closes =
        |i: &usize| rest[*i] == '"' && rest[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    let close = (hashes + 1..rest.len()).find(closes)?;
    Some(close + 1 + hashes)
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Blanks each item behind `#[cfg(test)]`; also gives the modules among them that stand in files of their own.
fn blank_tests(code: &str) -> (String, Vec<String>) {
    let mut out: Vec<char> = code.chars().collect();
    let mut modules = Vec::new();
    let marks = ["#[cfg(test)]", "#[cfg(all(test"];
    while let Some(begin) = (0..out.len()).find(|i| marks.iter().any(|mark| starts_with(&out[*i..], mark))) {
        let mut at = begin;
        while out.get(at) == Some(&'#') {
            at += matching(&out[at..], '[', ']');
            at += out[at..].iter().take_while(|c| c.is_whitespace()).count();
        }
        let item = &out[at..];
        let stop = item.iter().position(|c| *c == ';' || *c == '{').unwrap_or(item.len());
        let words: Vec<String> =
            item[..stop].iter().collect::<String>().split_whitespace().map(str::to_owned).collect();
        if item.get(stop) == Some(&';') && words.len() >= 2 && words[words.len() - 2] == "mod" {
            modules.push(words[words.len() - 1].clone());
        }
        let ends_with_semicolon = item.get(stop) == Some(&';') || words.first().is_some_and(|word| word == "use");
        let length = if ends_with_semicolon {
            item.iter().position(|c| *c == ';').map_or(item.len(), |end| end + 1)
        } else {
            matching(item, '{', '}')
        };
        out[begin..at + length].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
    }
    (out.into_iter().collect(), modules)
}

fn starts_with(code: &[char], mark: &str) -> bool {
    code.len() >= mark.len() && mark.chars().zip(code).all(|(a, b)| a == *b)
}

/// The length up to and with the bracket that closes the first one.
fn matching(code: &[char], open: char, close: char) -> usize {
    let mut depth = 0;
    for (at, c) in code.iter().enumerate() {
        depth += i32::from(*c == open);
        if *c == close {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    code.len()
}

fn names(code: &str) -> Vec<Name> {
    let mut scan = Scan { chars: code.chars().collect(), at: 0, line: 1, found: Vec::new() };
    while let Some(c) = scan.peek() {
        if is_word(c) { scan.spread(&[]) } else { scan.step() }
    }
    scan.found
}

struct Scan {
    chars: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Name>,
}

impl Scan {
    /// Reads the path that begins here, its groups spread out behind `prefix`.
    fn spread(&mut self, prefix: &[String]) {
        let (mut segments, line) = (prefix.to_vec(), self.line);
        loop {
            segments.push(self.word());
            self.skip_space();
            if !self.takes("::") {
                break;
            }
            self.skip_space();
            match self.peek() {
                Some('{') => return self.spread_group(&segments),
                Some(c) if is_word(c) || c == '*' => (),
                _ => break,
            }
        }
        let is_called = self.peek() == Some('(');
        self.found.push(Name { segments, line, is_called });
    }

    fn spread_group(&mut self, prefix: &[String]) {
        while let Some(c) = self.peek() {
            match c {
                '}' => return self.step(),
                c if is_word(c) || c == '*' => self.spread(prefix),
                _ => self.step(),
            }
        }
    }

    fn word(&mut self) -> String {
        let begin = self.at;
        while self.peek().is_some_and(|c| is_word(c) || c == '*' && self.at == begin) {
            self.step();
        }
        self.chars[begin..self.at].iter().collect()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.step();
        }
    }

    fn takes(&mut self, mark: &str) -> bool {
        let is_there = starts_with(&self.chars[self.at..], mark);
        self.at += if is_there { mark.len() } else { 0 };
        is_there
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn step(&mut self) {
        self.line += usize::from(self.peek() == Some('\n'));
        self.at += 1;
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_groups_and_keeps_lines() {
        let source = Source::new("node/src/a.rs", "use a::{\n  b,\n  c::{d, self},\n};\nfn f() { e::g::<u8>(1) }");
        let names: Vec<(String, usize)> = source.names().iter().map(|name| (name.path(), name.line)).collect();
        for wanted in [("a::b", 2), ("a::c::d", 3), ("a::c::self", 3), ("e::g", 5)] {
            assert!(names.contains(&(wanted.0.to_owned(), wanted.1)), "{wanted:?} in {names:?}");
        }
    }

    #[test]
    fn sees_no_comment_and_no_literal() {
        let text = r####"// one::a
/* one::b /* one::c */ one::d */ fn f<'x>(c: char) { g("one::e \" one::f", r#"one::g " one::h"#, '"', '\'', two::i) }"####;
        let names: Vec<String> = Source::new("node/src/a.rs", text).names().iter().map(Name::path).collect();

        assert!(!names.iter().any(|name| name.starts_with("one")), "{names:?}");
        assert!(names.contains(&"two::i".to_owned()), "{names:?}");
    }

    #[test]
    fn leaves_tests_aside() {
        let text = "use a::b;\n#[cfg(test)]\nuse a::{c, d};\n#[cfg(test)]\n#[path = \"x\"]\nmod t { fn f() { a::e } }\nfn g() { a::f }";
        let names: Vec<String> = Source::new("node/src/a.rs", text).shipped_names().iter().map(Name::path).collect();

        assert!(names.contains(&"a::b".to_owned()) && names.contains(&"a::f".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| matches!(name.as_str(), "a::c" | "a::d" | "a::e")), "{names:?}");
    }

    #[test]
    fn knows_the_files_of_test_modules() {
        let source = Source::new("node/src/store.rs", "mod index;\n#[cfg(test)]\nmod tests;\n");

        assert_eq!(source.test_modules, ["node/src/store/tests"]);
    }

    #[test]
    fn knows_what_is_called() {
        let source = Source::new("node/src/a.rs", "fn f() { a.spawn(1); spawn }");
        let spawns: Vec<bool> =
            source.names().iter().filter(|n| n.path() == "spawn").map(|name| name.is_called).collect();

        assert_eq!(spawns, [true, false]);
    }
}
