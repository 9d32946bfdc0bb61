//! What is neither served nor fetched nor shown: lists in the compact format of IPIP-383, by CID, by path and by double hash, which
//! says nothing to whoever reads the list. The last rule that fits decides, so that a list may only grow.

use std::collections::{BTreeMap, BTreeSet};

use cid::{Cid, Version};
use multibase::Base;
use multihash::Multihash;

use crate::block::{DAG_PB, RAW};
use crate::hash::{self, Function};

/// Several lists, the last of which has the last word.
#[derive(Clone, Debug, Default)]
pub struct Deny {
    lists: Vec<String>,
    rules: Vec<Rule>,
    /// By multihash, or by a name of IPNS.
    plain: BTreeMap<Vec<u8>, Vec<u32>>,
    /// By function and digest.
    hashed: BTreeMap<(u64, Vec<u8>), Vec<u32>>,
    /// In which functions there are digests, and how long.
    functions: BTreeSet<(u64, usize)>,
}

/// Why something is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The list that says so.
    pub list: String,
    /// What a gateway answers: 410, or 451 where the law asks for it.
    pub status: u16,
}

#[derive(Clone, Debug)]
struct Rule {
    list: u32,
    status: u16,
    allows: bool,
    path: Extent,
}

/// Which paths below what a rule names it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    /// What it names itself, or what a double hash stands for.
    Itself,
    /// This path.
    Path(String),
    /// All paths that begin so.
    Prefix(String),
}

/// A line that is no rule; the others count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{list}, line {line}: {why}")]
pub struct BadLine {
    /// The list.
    pub list: String,
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl Deny {
    /// Adds a list; gives the lines that make no sense.
    pub fn add(&mut self, list: &str, text: &str) -> Vec<BadLine> {
        let number = self.lists.len() as u32;
        self.lists.push(list.to_owned());
        let (head, body, skipped) = split(text);
        let status = head.lines().find_map(|line| status(line.trim().split_once(':')?)).unwrap_or(GONE);
        let mut bad = vec![];
        for (line, rule) in body.lines().enumerate() {
            if let Err(why) = self.add_rule(number, status, rule.trim()) {
                bad.push(BadLine { list: list.to_owned(), line: line + skipped + 1, why });
            }
        }
        bad
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a block is denied, in itself or with all that is below it.
    pub fn block(&self, cid: &Cid) -> Option<Denial> {
        self.content(cid, "")
    }

    /// Whether what the DHT knows by this multihash is denied.
    pub fn key(&self, name: &[u8]) -> Option<Denial> {
        if self.is_empty() {
            return None;
        }
        let hash = Multihash::from_bytes(name).ok()?;
        [RAW, DAG_PB].into_iter().find_map(|codec| self.block(&Cid::new_v1(codec, hash)))
    }

    /// Whether a path below a root is denied, before it is followed; each name of the path by itself.
    pub fn path<S: AsRef<str>>(&self, root: &Cid, names: &[S]) -> Option<Denial> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        self.content(root, &names.join("/"))
    }

    /// Whether a name of IPNS is denied: a domain, or the CID of a key.
    pub fn name<S: AsRef<str>>(&self, name: &str, names: &[S]) -> Option<Denial> {
        if let Ok(cid) = name.parse::<Cid>() {
            return self.path(&cid, names);
        }
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let path = names.join("/");
        let whole = if path.is_empty() { format!("/ipns/{name}") } else { format!("/ipns/{name}/{path}") };
        self.decide(&name_key(name), &path, &[whole], &format!("{name}/{path}"))
    }

    fn content(&self, cid: &Cid, path: &str) -> Option<Denial> {
        if self.is_empty() {
            return None;
        }
        let hash = cid.hash().to_bytes();
        let text = Base::Base58Btc.encode(&hash);
        let legacy = match cid.version() {
            Version::V0 => Cid::new_v1(DAG_PB, *cid.hash()),
            Version::V1 => *cid,
        };
        let modern = if path.is_empty() { text } else { format!("{text}/{path}") };
        self.decide(&hash, path, &[modern], &format!("{legacy}/{path}"))
    }

    fn decide(&self, plain: &[u8], path: &str, modern: &[String], legacy: &str) -> Option<Denial> {
        let is_for = |number: &&u32| self.rules[**number as usize].path.is_for(path);
        let mut last = self.plain.get(plain).and_then(|rules| rules.iter().rev().find(is_for)).copied();
        for (code, length) in &self.functions {
            let Some(function) = Function::from_code(*code) else { continue };
            for text in modern {
                let digest = function.digest(text.as_bytes());
                last = last.max(self.hashed_rule(*code, &digest[..digest.len().min(*length)]));
            }
        }
        last = last.max(self.hashed_rule(LEGACY, &hash::sha256(legacy.as_bytes())));
        let rule = &self.rules[last? as usize];
        let list = self.lists[rule.list as usize].clone();
        (!rule.allows).then_some(Denial { list, status: rule.status })
    }

    fn hashed_rule(&self, code: u64, digest: &[u8]) -> Option<u32> {
        self.hashed.get(&(code, digest.to_vec())).and_then(|rules| rules.last().copied())
    }

    fn add_rule(&mut self, list: u32, status: u16, line: &str) -> Result<(), &'static str> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let mut words = line.split_ascii_whitespace();
        let rule = words.next().unwrap_or_default();
        let status = words.find_map(|hint| self::status(hint.split_once('=')?)).unwrap_or(status);
        let (allows, rule) = match rule.strip_prefix(['!', '+']) {
            Some(rule) => (true, rule),
            None => (false, rule),
        };
        let number = self.rules.len() as u32;
        let path = if let Some(hashed) = rule.strip_prefix("//") {
            self.add_hashed(hashed, number)?;
            Extent::Itself
        } else {
            let (key, path) = if let Some(rest) = rule.strip_prefix("/ipfs/") {
                let (root, path) = rest.split_once('/').map_or((rest, None), |(root, path)| (root, Some(path)));
                (content_key(root).ok_or("this is no CID")?, path)
            } else if let Some(rest) = rule.strip_prefix("/ipns/") {
                let (root, path) = rest.split_once('/').map_or((rest, None), |(root, path)| (root, Some(path)));
                (content_key(root).unwrap_or_else(|| name_key(root)), path)
            } else {
                return Err("a rule begins with /ipfs/, /ipns/ or //");
            };
            self.plain.entry(key).or_default().push(number);
            Extent::read(path)?
        };
        self.rules.push(Rule { list, status, allows, path });
        Ok(())
    }

    fn add_hashed(&mut self, text: &str, number: u32) -> Result<(), &'static str> {
        let legacy = (text.len() == 64).then(|| Base::Base16Lower.decode(text.to_ascii_lowercase()).ok()).flatten();
        let modern = Base::Base58Btc.decode(text).ok().and_then(|bytes| Multihash::<64>::from_bytes(&bytes).ok());
        let modern = modern.filter(|hash| Function::from_code(hash.code()).is_some());
        if legacy.is_none() && modern.is_none() {
            return Err("this is no double hash: base58btc of a multihash, or sha2-256 in hex");
        }
        if let Some(digest) = legacy {
            self.hashed.entry((LEGACY, digest)).or_default().push(number);
        }
        if let Some(hash) = modern {
            self.functions.insert((hash.code(), hash.digest().len()));
            self.hashed.entry((hash.code(), hash.digest().to_vec())).or_default().push(number);
        }
        Ok(())
    }
}

/// What a gateway says of what was there once.
const GONE: u16 = 410;
/// No code of a hash function: digests in hex.
const LEGACY: u64 = u64::MAX;

impl Extent {
    fn read(path: Option<&str>) -> Result<Self, &'static str> {
        let Some(path) = path else { return Ok(Self::Itself) };
        let path = percent_encoding::percent_decode_str(path).decode_utf8().map_err(|_| "the path is not UTF-8")?;
        Ok(match path.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.trim_end_matches('/').to_owned()),
            None => match path.trim_end_matches('/') {
                "" => Self::Itself,
                path => Self::Path(path.to_owned()),
            },
        })
    }

    fn is_for(&self, path: &str) -> bool {
        match self {
            Self::Itself => path.is_empty(),
            Self::Path(own) => own == path,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

/// Head and body, and how many lines the head has with the one that ends it.
fn split(text: &str) -> (&str, &str, usize) {
    let mut place = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if place > MAX_HEAD {
            break;
        }
        if line.trim_end() == "---" {
            return (&text[..place], &text[place + line.len()..], number + 1);
        }
        place += line.len();
    }
    ("", text, 0)
}

/// A longer head is none, in bytes.
const MAX_HEAD: usize = 1024 * 1024;

/// What a gateway is to answer, where a hint says so.
fn status((name, value): (&str, &str)) -> Option<u16> {
    let known = matches!(name.trim(), "gateway_status" | "status" | "status_code");
    value.trim().parse().ok().filter(|status| known && matches!(status, 410 | 451))
}

/// The multihash of a CID of either version, or one in base58.
fn content_key(text: &str) -> Option<Vec<u8>> {
    match text.parse::<Cid>() {
        Ok(cid) => Some(cid.hash().to_bytes()),
        Err(_) => {
            let bytes = Base::Base58Btc.decode(text).ok()?;
            Multihash::<64>::from_bytes(&bytes).ok().map(|hash| hash.to_bytes())
        }
    }
}

/// No multihash begins so.
fn name_key(name: &str) -> Vec<u8> {
    [b"\xff/ipns/", name.to_ascii_lowercase().as_bytes()].concat()
}

#[cfg(test)]
mod tests;
