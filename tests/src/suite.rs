//! How large the process tests are: small in `cargo test`, full in the suites that CI runs, more by hand.

use std::env;

/// The size of a run, chosen by the environment variable `CIDRA_SUITE`: unset, `ci` or `slow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// What `cargo test --workspace` runs: seconds.
    Test,
    /// What `.ci/run` runs on top of it: minutes.
    Ci,
    /// What is run by hand, its figures written down.
    Slow,
}

impl Suite {
    /// The suite that the environment asks for; panics at a name that is none.
    pub fn chosen() -> Suite {
        match env::var("CIDRA_SUITE").as_deref() {
            Err(_) | Ok("") => Suite::Test,
            Ok("ci") => Suite::Ci,
            Ok("slow") => Suite::Slow,
            Ok(other) => panic!("CIDRA_SUITE is {other:?}: it may be unset, \"ci\" or \"slow\""),
        }
    }

    /// One of three numbers, by size of the suite.
    pub fn of<T>(self, test: T, ci: T, slow: T) -> T {
        match self {
            Suite::Test => test,
            Suite::Ci => ci,
            Suite::Slow => slow,
        }
    }
}

/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;
