//! The socket in the repository that its holder serves: binding and reaching it, however long its path is.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Connects to the socket at `path`, however long its path is.
///
/// Fails when there is none or, for a stale one, when nobody serves it.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let short = ShortPath::of(path)?;
    UnixStream::connect(&short.path).await
}

/// Binds under another name and renames, so that the socket is never there with rights for others.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let beside = path.with_extension("new");
    remove_file(&beside)?;
    let short = ShortPath::of(&beside)?;
    let listener = UnixListener::bind(&short.path)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
    fs::rename(&beside, path)?;
    Ok(listener)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// A path that fits into the address of a socket, and the open folder that it leads through where the real one is too long.
struct ShortPath {
    path: PathBuf,
    _folder: Option<fs::File>,
}

impl ShortPath {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= MAX_SOCKET_PATH {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let folder = fs::File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }
}

/// `sockaddr_un` has room for 107 bytes and a zero.
const MAX_SOCKET_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_with_a_long_path_is_bound_and_reached_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(MAX_SOCKET_PATH));
        fs::create_dir(&long).unwrap();
        let path = long.join("api.sock");

        drop(bind(&path).unwrap());
        assert!(connect(&path).await.is_err(), "it is stale");
        let _listener = bind(&path).unwrap();

        connect(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn the_longest_path_that_fits_is_used_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let name = "s".repeat(MAX_SOCKET_PATH - folder.path().as_os_str().len() - 1);
        let path = folder.path().join(name);

        assert_eq!(ShortPath::of(&path).unwrap().path, path);
        assert!(ShortPath::of(&path.with_extension("s")).unwrap().path.starts_with("/proc/self/fd"));
    }
}
