//! The `_redirects` file of a website (Web _redirects File specification): rules for paths that its folder does not have.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Query;

/// The rules of a file, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirects {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    from: Vec<Part>,
    splat: bool,
    to: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Name(String),
    Placeholder(String),
}

/// What a rule has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// The visitor is to go there.
    Go {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The address.
        location: String,
    },
    /// Another file of the website is shown in its place.
    Show {
        /// 200, 404, 410 or 451.
        status: u16,
        /// The path below the root, decoded.
        path: String,
    },
}

impl Redirects {
    /// Reads a file.
    pub fn parse(file: &[u8]) -> Result<Redirects, RedirectsError> {
        if file.len() > MAX_FILE {
            return Err(RedirectsError::TooLarge);
        }
        let text = std::str::from_utf8(file).map_err(|_| RedirectsError::NotText)?;
        let mut rules = vec![];
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                rules.push(Rule::parse(line).map_err(|why| RedirectsError::Rule { line: index + 1, why })?);
            }
        }
        Ok(Redirects { rules })
    }

    /// What the first rule for this path (decoded, below the root) says, and `query` with it.
    pub fn find(&self, path: &str, query: &Query) -> Option<Redirect> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        self.rules.iter().find_map(|rule| Some(rule.carry_out(&rule.match_parts(&parts)?, query)))
    }
}

/// Longest file in bytes.
pub const MAX_FILE: usize = 64 << 10;

impl Rule {
    fn parse(line: &str) -> Result<Rule, &'static str> {
        let mut words = line.split_ascii_whitespace();
        let (Some(from), Some(to)) = (words.next(), words.next()) else { return Err("it needs a from and a to") };
        let status = match words.next() {
            None => 301,
            Some(word) => word.parse().map_err(|_| "its status is no number")?,
        };
        if words.next().is_some() {
            return Err("there is something behind its status");
        }
        let shows = matches!(status, 200 | 404 | 410 | 451);
        if !shows && !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Err("its status is none of 200, 301, 302, 303, 307, 308, 404, 410 and 451");
        }
        let is_url = to.starts_with("http://") || to.starts_with("https://");
        if !to.starts_with('/') && (shows || !is_url) {
            return Err("its to is no path of the website, nor a URL to be redirected to");
        }
        let Some(pattern) = from.strip_prefix('/') else { return Err("its from does not begin with a slash") };
        let (pattern, splat) = match pattern.strip_suffix('*') {
            Some(pattern) => (pattern, true),
            None => (pattern, false),
        };
        if pattern.contains('*') || splat && !(pattern.is_empty() || pattern.ends_with('/')) {
            return Err("an asterisk stands only for the end of a path");
        }
        let mut parts = vec![];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let part = match part.strip_prefix(':') {
                Some("") => return Err("a placeholder has no name"),
                Some(name) => Part::Placeholder(name.to_owned()),
                None => Part::Name(part.to_owned()),
            };
            if matches!(part, Part::Placeholder(_)) && parts.contains(&part) {
                return Err("it has a placeholder twice in its from");
            }
            parts.push(part);
        }
        Ok(Rule { from: parts, splat, to: to.to_owned(), status })
    }

    /// What the placeholders stand for.
    fn match_parts(&self, parts: &[&str]) -> Option<BTreeMap<&str, String>> {
        if parts.len() < self.from.len() || !self.splat && parts.len() > self.from.len() {
            return None;
        }
        let mut values = BTreeMap::new();
        for (pattern, part) in self.from.iter().zip(parts) {
            match pattern {
                Part::Name(name) if name == part => {}
                Part::Name(_) => return None,
                Part::Placeholder(name) => {
                    values.insert(&name[..], (*part).to_owned());
                }
            }
        }
        if self.splat {
            values.insert("splat", parts[self.from.len()..].join("/"));
        }
        Some(values)
    }

    fn carry_out(&self, values: &BTreeMap<&str, String>, query: &Query) -> Redirect {
        if matches!(self.status, 200 | 404 | 410 | 451) {
            let to = self.to.split(['?', '#']).next().unwrap_or_default();
            return Redirect::Show { status: self.status, path: expand(to, values, str::to_owned) };
        }
        // What a visitor wrote must not become anything but a part of a path or of a query.
        let to = expand(&self.to, values, |value| utf8_percent_encode(value, UNSAFE).to_string());
        let (rest, fragment) = match to.split_once('#') {
            Some((rest, fragment)) => (rest, format!("#{fragment}")),
            None => (&to[..], String::new()),
        };
        let (path, fixed) = rest.split_once('?').unwrap_or((rest, ""));
        let mut all = Query::parse(fixed);
        all.extend(query);
        let path = utf8_percent_encode(path, NO_ADDRESS);
        Redirect::Go { status: self.status, location: format!("{path}{}{fragment}", all.to_suffix()) }
    }
}

/// Puts values where their placeholders are; the longest name that fits counts. At most [`MAX_EXPANDED`] bytes.
fn expand(to: &str, values: &BTreeMap<&str, String>, encode: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = to;
    while let Some((before, behind)) = rest.split_once(':') {
        out.push_str(before);
        let named = values.iter().rev().find(|(name, _)| behind.starts_with(**name));
        match named {
            Some((name, value)) if out.len() < MAX_EXPANDED => {
                out.push_str(&encode(value));
                rest = &behind[name.len()..];
            }
            _ => {
                out.push(':');
                rest = behind;
            }
        }
    }
    out + rest
}

/// A rule may name a placeholder ten thousand times; past this length the others stay as they are.
const MAX_EXPANDED: usize = 16 << 10;

const UNSAFE: &AsciiSet = &NO_ADDRESS.add(b'%').add(b'?').add(b'#').add(b'&').add(b'=').add(b'+').add(b':').add(b'@');
/// What cannot stand in an address.
const NO_ADDRESS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Why a `_redirects` file has no rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectsError {
    /// It is no UTF-8.
    #[error("it is no text")]
    NotText,
    /// A line is no rule.
    #[error("line {line}: {why}")]
    Rule {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than [`MAX_FILE`].
    #[error("redirects file size cannot exceed {MAX_FILE} bytes")]
    TooLarge,
}

#[cfg(test)]
mod tests;
