//! The files of `deny.lists`: read at start, and again when one of them changes. Whoever asks gets the rules as they are then.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use cidra_content::deny::Deny;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// `[deny]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DenySection {
    /// Files in the compact format of IPIP-383.
    pub lists: Vec<PathBuf>,
}

/// The lists, for all parts of a node.
#[derive(Clone, Debug)]
pub struct DenyLists {
    files: Arc<[PathBuf]>,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    deny: Arc<Deny>,
    seen: Vec<Option<(SystemTime, u64)>>,
}

impl Default for DenyLists {
    fn default() -> Self {
        Self { files: Arc::default(), state: watch::channel(State::default()).0 }
    }
}

impl DenyLists {
    /// Reads the files; one that cannot be read is an error, as what it denies would be served.
    pub fn open(files: &[PathBuf]) -> Result<Self, DenyListError> {
        let lists = Self { files: files.into(), state: watch::channel(State::default()).0 };
        let read = lists.read()?;
        lists.state.send_replace(read);
        Ok(lists)
    }

    /// The rules of this moment.
    pub fn current(&self) -> Arc<Deny> {
        self.state.borrow().deny.clone()
    }

    /// Whether there are files to look at.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Reads the files again if one has changed; what cannot be read leaves the rules as they were. Blocks the thread.
    pub fn refresh(&self) {
        if self.state.borrow().seen == self.look() {
            return;
        }
        match self.read() {
            Ok(state) => {
                tracing::info!(rules = state.deny.len(), "read the deny lists again");
                self.state.send_replace(state);
            }
            Err(error) => tracing::warn!(%error, "the deny lists stay as they were"),
        }
    }

    fn look(&self) -> Vec<Option<(SystemTime, u64)>> {
        let look = |file: &PathBuf| {
            let metadata = fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        self.files.iter().map(look).collect()
    }

    fn read(&self) -> Result<State, DenyListError> {
        let seen = self.look();
        let mut deny = Deny::default();
        for file in self.files.iter() {
            let text = fs::read(file).map_err(|source| DenyListError { file: file.clone(), source })?;
            let bad = deny.add(&file.display().to_string(), &String::from_utf8_lossy(&text));
            for line in bad.iter().take(MOST_NAMED) {
                tracing::warn!(%line, "a line of a deny list makes no sense");
            }
            if bad.len() > MOST_NAMED {
                tracing::warn!(file = %file.display(), more = bad.len() - MOST_NAMED, "more such lines");
            }
        }
        Ok(State { deny: Arc::new(deny), seen })
    }
}

/// Lines of one file that are named in the log.
const MOST_NAMED: usize = 10;

/// A list that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the deny list {}", file.display())]
pub struct DenyListError {
    /// The file.
    pub file: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

    #[test]
    fn a_list_that_changes_is_read_again_and_one_that_goes_away_stays_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.deny");
        fs::write(&file, "# nothing yet\n").unwrap();
        let lists = DenyLists::open(std::slice::from_ref(&file)).unwrap();
        let is_denied = || lists.current().block(&CID.parse().unwrap()).is_some();
        assert!(!is_denied());

        fs::write(&file, format!("/ipfs/{CID}\n")).unwrap();
        lists.refresh();
        assert!(is_denied());

        fs::remove_file(&file).unwrap();
        lists.refresh();
        assert!(is_denied());
    }

    #[test]
    fn a_list_that_is_not_there_is_an_error() {
        let error = DenyLists::open(&["/nonexistent/list.deny".into()]).unwrap_err();

        assert_eq!(error.to_string(), "cannot read the deny list /nonexistent/list.deny");
    }
}
