//! Names of websites, and where they lead.

use std::collections::BTreeMap;
use std::time::Duration;

use cid::Cid;
use cidra_content::gateway::host::is_domain;
use cidra_content::path::{ContentPath, PathError, parse_cid};

/// What names lead to.
pub(super) struct Names {
    /// By the settings.
    given: BTreeMap<String, String>,
}

/// Where a name leads at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) cid: Cid,
    /// The names to follow from there.
    pub(super) below: Vec<String>,
    /// For how long that holds, where it is known.
    pub(super) ttl: Option<Duration>,
}

impl Names {
    pub(super) fn new(given: BTreeMap<String, String>) -> Self {
        Self { given }
    }

    /// Whether anything is known of a name.
    pub(super) async fn knows(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Where a name leads, through other names.
    pub(super) async fn resolve(&self, name: &str) -> Result<Named, NameError> {
        let mut here = name.to_owned();
        let mut below: Vec<String> = vec![];
        for _ in 0..MAX_STEPS {
            let Some(path) = self.given.get(&here) else {
                return Err(match is_domain(&here) {
                    true => NameError::Unknown { name: here },
                    false => NameError::Key { name: here },
                });
            };
            let malformed = |source| NameError::Malformed { name: name.to_owned(), source };
            match path.strip_prefix("/ipns/") {
                Some(rest) => {
                    let (next, names) = rest.split_once('/').unwrap_or((rest, ""));
                    below.splice(0..0, names.split('/').filter(|name| !name.is_empty()).map(str::to_owned));
                    here = next.to_owned();
                }
                None => {
                    let rest = path.strip_prefix("/ipfs/").unwrap_or(path);
                    let (cid, names) = rest.split_once('/').unwrap_or((rest, ""));
                    let cid = parse_cid(cid).map_err(malformed)?;
                    let mut path = ContentPath::below(cid, names).map_err(malformed)?.segments;
                    path.append(&mut below);
                    return Ok(Named { cid, below: path, ttl: None });
                }
            }
        }
        Err(NameError::TooLong { name: name.to_owned() })
    }
}

/// Most names that lead one to the other.
const MAX_STEPS: usize = 32;

/// Why a name leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    #[error("{name:?} is no name of a website, and names of keys (IPNS) are not resolved by this version")]
    Key { name: String },
    #[error("what the name {name:?} stands for is no path of content")]
    Malformed { name: String, source: PathError },
    #[error("the name {name:?} leads through more than {MAX_STEPS} others")]
    TooLong { name: String },
    #[error("could not resolve name: nothing is known of {name:?}")]
    Unknown { name: String },
}
