//! Paths in the tree that `files` arranges, as Kubo reads them.

/// A path from the root of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesPath {
    /// From the root down; empty for the root itself.
    pub names: Vec<String>,
    /// It ends in a slash: what it names is a folder.
    pub is_folder: bool,
}

impl FilesPath {
    /// Reads a path: absolute, with `.`, `..` and repeated slashes resolved.
    pub fn parse(text: &str) -> Result<FilesPath, FilesPathError> {
        if text.is_empty() {
            return Err(FilesPathError::Empty);
        }
        if !text.starts_with('/') {
            return Err(FilesPathError::Relative);
        }
        let mut names: Vec<String> = Vec::new();
        for name in text.split('/') {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name if name.contains('\0') => return Err(FilesPathError::Zero),
                name => names.push(name.to_owned()),
            }
        }
        if names.len() > MAX_DEPTH {
            return Err(FilesPathError::TooDeep { depth: names.len() });
        }
        Ok(FilesPath { is_folder: names.is_empty() || text.ends_with('/'), names })
    }

    /// The last name; none for the root.
    pub fn name(&self) -> Option<&str> {
        self.names.last().map(String::as_str)
    }

    /// The folder that it is in; the root for the root.
    pub fn parent(&self) -> FilesPath {
        let names = self.names.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default();
        FilesPath { names, is_folder: true }
    }

    /// A name below it.
    pub fn join(&self, name: &str) -> FilesPath {
        let names = self.names.iter().cloned().chain([name.to_owned()]).collect();
        FilesPath { names, is_folder: false }
    }

    /// Whether `other` is this one or below it.
    pub fn holds(&self, other: &FilesPath) -> bool {
        other.names.starts_with(&self.names)
    }
}

/// Each level of a change writes a block.
const MAX_DEPTH: usize = 1024;

impl std::fmt::Display for FilesPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}", self.names.join("/"))
    }
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesPathError {
    /// Nothing.
    #[error("paths must not be empty")]
    Empty,
    /// It does not begin at the root.
    #[error("paths must start with a leading slash")]
    Relative,
    /// More names than `MAX_DEPTH`.
    #[error("a path of {depth} names: the limit is {MAX_DEPTH}")]
    TooDeep {
        /// How many.
        depth: usize,
    },
    /// No file system has such a name.
    #[error("a name cannot have a zero byte in it")]
    Zero,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_kubo_cleans_them() {
        let clean = |text: &str| FilesPath::parse(text).map(|path| (path.to_string(), path.is_folder));

        assert_eq!(clean("/"), Ok(("/".into(), true)));
        assert_eq!(clean("/a//b/./c"), Ok(("/a/b/c".into(), false)));
        assert_eq!(clean("/a/../b/"), Ok(("/b".into(), true)));
        assert_eq!(clean("/../../etc"), Ok(("/etc".into(), false)));
        assert_eq!(clean("a/b"), Err(FilesPathError::Relative));
        assert_eq!(clean(""), Err(FilesPathError::Empty));
        assert_eq!(clean("/a\0"), Err(FilesPathError::Zero));
        assert!(clean(&"/a".repeat(MAX_DEPTH)).is_ok());
        assert_eq!(clean(&"/a".repeat(MAX_DEPTH + 1)), Err(FilesPathError::TooDeep { depth: MAX_DEPTH + 1 }));
    }

    #[test]
    fn a_path_holds_what_is_below_it() {
        let path = |text| FilesPath::parse(text).expect("a path");

        assert!(path("/a").holds(&path("/a/b")) && path("/a").holds(&path("/a")) && path("/").holds(&path("/x")));
        assert!(!path("/a").holds(&path("/ab")) && !path("/a/b").holds(&path("/a")));
        assert_eq!((path("/a/b").parent(), path("/a").join("b")), (path("/a/"), path("/a/b")));
    }
}
