//! Patterns of what to leave out, by the rules of `.gitignore`.

/// Rules in order: the last one that matches decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Ignored {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: Vec<u8>,
    /// `!`: what matches is taken again.
    takes_back: bool,
    folders_only: bool,
    /// It names a path from the top, not a name anywhere.
    anchored: bool,
}

impl Ignored {
    /// Reads rules, one a line; empty lines and comments say nothing.
    pub(super) fn new<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Self {
        Self { rules: lines.into_iter().filter_map(|line| Rule::parse(line.as_ref())).collect() }
    }

    /// Whether the entry at `path` below the top is left out. What is in a folder that is left out is never asked about.
    pub(super) fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        let last = self.rules.iter().rev().find(|rule| rule.matches(path, is_folder));
        last.is_some_and(|rule| !rule.takes_back)
    }
}

impl Rule {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end_matches(['\r', '\n', ' ']);
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (takes_back, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let line = line.strip_prefix('\\').filter(|rest| rest.starts_with(['#', '!'])).unwrap_or(line);
        let (folders_only, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
        let anchored = line.contains('/');
        let pattern = line.strip_prefix('/').unwrap_or(line).as_bytes().to_vec();
        Some(Self { pattern, takes_back, folders_only, anchored })
    }

    fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        if self.folders_only && !is_folder {
            return false;
        }
        let subject = match self.anchored {
            true => path,
            false => path.rsplit(|byte| *byte == b'/').next().unwrap_or(path),
        };
        matches(&self.pattern, subject)
    }
}

/// `*` and `?` stay within a name, `**` goes over several, `[a-z]` is one of these, `\` takes the next as it is.
///
/// Of all places to which a star could reach back only the last of each kind is tried again, so the work is bounded by the
/// product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where to go on when what follows a star does not match: within a name, and over names.
    let (mut star, mut stars): (Option<(usize, usize)>, Option<Stars>) = (None, None);
    loop {
        if pattern[at..].starts_with(b"**") {
            let whole_names = pattern.get(at + 2) == Some(&b'/');
            at += 2 + usize::from(whole_names);
            stars = Some(Stars { after: at, from: place, whole_names });
            star = None;
            continue;
        }
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, place));
            continue;
        }
        if place == text.len() && at == pattern.len() {
            return true;
        }
        if let Some(next) = one(&pattern[at..], text.get(place).copied()) {
            at += next;
            place += 1;
            continue;
        }
        if let Some((after, from)) = star
            && from < text.len()
            && text[from] != b'/'
        {
            star = Some((after, from + 1));
            (at, place) = (after, from + 1);
            continue;
        }
        let Some(stars) = stars.as_mut() else { return false };
        let Some(next) = stars.next(text) else { return false };
        star = None;
        (at, place) = (stars.after, next);
    }
}

/// A `**` that was met, and how much it stands for so far.
struct Stars {
    after: usize,
    from: usize,
    /// `**/` stands for whole names.
    whole_names: bool,
}

impl Stars {
    fn next(&mut self, text: &[u8]) -> Option<usize> {
        let step = match self.whole_names {
            true => text.get(self.from..)?.iter().position(|byte| *byte == b'/')? + 1,
            false => 1,
        };
        self.from += step;
        (self.from <= text.len()).then_some(self.from)
    }
}

/// How long the part of the pattern is that matches this one byte.
fn one(pattern: &[u8], byte: Option<u8>) -> Option<usize> {
    let byte = byte?;
    match pattern {
        [b'?', ..] => (byte != b'/').then_some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', ..] => class(pattern, byte),
        [first, ..] => (*first == byte).then_some(1),
        [] => None,
    }
}

fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let begin = 1 + usize::from(negated);
    // A bracket that stands first is a member.
    let end = (begin + 1..pattern.len()).find(|at| pattern[*at] == b']');
    let Some(end) = end else { return (byte == b'[').then_some(1) };
    let members = &pattern[begin..end];
    let mut at = 0;
    let mut found = false;
    while at < members.len() {
        if at + 2 < members.len() && members[at + 1] == b'-' {
            found |= (members[at]..=members[at + 2]).contains(&byte);
            at += 3;
        } else {
            found |= members[at] == byte;
            at += 1;
        }
    }
    (found != negated && byte != b'/').then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ignored(rules: &[&str], path: &str) -> bool {
        let (path, is_folder) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        Ignored::new(rules).matches(path.as_bytes(), is_folder)
    }

    #[test]
    fn a_name_matches_at_any_depth_and_a_path_from_the_top() {
        assert!(ignored(&["*.log"], "a/b/x.log"));
        assert!(!ignored(&["*.log"], "a.log/x"));
        assert!(ignored(&["/x"], "x"));
        assert!(!ignored(&["/x"], "a/x"));
        assert!(ignored(&["a/*.c"], "a/b.c"));
        assert!(!ignored(&["a/*.c"], "a/b/c.c"));
    }

    #[test]
    fn two_stars_go_over_folders() {
        assert!(ignored(&["**/x"], "a/b/x"));
        assert!(ignored(&["**/x"], "x"));
        assert!(ignored(&["a/**"], "a/b/c"));
        assert!(ignored(&["a/**/z"], "a/z"));
        assert!(ignored(&["a/**/b*/z"], "a/1/b2/z"));
        assert!(!ignored(&["a/**/z"], "b/z"));
        assert!(!ignored(&["**/x"], "a/bx"));
    }

    #[test]
    fn a_slash_at_the_end_means_folders() {
        assert!(ignored(&["build/"], "a/build/"));
        assert!(!ignored(&["build/"], "a/build"));
    }

    #[test]
    fn the_last_rule_decides() {
        assert!(!ignored(&["*.txt", "!keep.txt"], "keep.txt"));
        assert!(ignored(&["!keep.txt", "*.txt"], "keep.txt"));
    }

    #[test]
    fn classes_escapes_and_comments() {
        assert!(ignored(&["[a-c]?"], "b1"));
        assert!(!ignored(&["[!a-c]?"], "b1"));
        assert!(ignored(&["[]x]"], "]"));
        assert!(ignored(&["\\*"], "*") && !ignored(&["\\*"], "x"));
        assert!(ignored(&["\\#x"], "#x") && !ignored(&["#x"], "#x"));
        assert!(ignored(&["[x"], "[x"));
    }

    proptest! {
        #[test]
        fn any_pattern_on_any_name_ends(pattern in "[*?a/\\\\\\[\\]!-]{0,12}", name in "[a/]{0,30}") {
            matches(pattern.as_bytes(), name.as_bytes());
        }

        #[test]
        fn a_name_matches_itself(name in "[a-z.]{1,20}") {
            prop_assert!(matches(name.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn many_stars_cost_bounded_work() {
        let pattern = "**/a*".repeat(20) + "b";

        assert!(!matches(pattern.as_bytes(), "a/".repeat(2000).as_bytes()));
    }
}
