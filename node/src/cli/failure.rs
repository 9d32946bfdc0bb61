//! How a command ends when it does not end well: an exit code and a message for a person.

use std::error::Error;
use std::fmt;
use std::io;

/// What a command returns.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command ends before it is done.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
    is_loss: bool,
}

/// How the process ends. The numbers are promised to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Whoever read our standard output has enough: that is no failure.
    ClosedPipe,
    /// It did not work.
    Failed,
    /// Ctrl-C, or SIGTERM.
    Interrupted,
    /// A path that is not in the DAG, a block that is not here, or nobody delivered in time.
    NotFound,
    /// The command line is wrong.
    Usage,
}

impl Exit {
    /// The code of the process.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Interrupted => 130,
        }
    }

    /// What a code in an answer of the RPC means.
    pub(super) fn from_code(code: u8) -> Self {
        match code {
            2 => Self::Usage,
            3 => Self::NotFound,
            130 => Self::Interrupted,
            _ => Self::Failed,
        }
    }
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), is_loss: false }
    }

    /// Whoever did the work went away in the middle of it.
    pub(super) fn lost(message: impl fmt::Display, source: &dyn Error) -> Self {
        Self { is_loss: true, ..Self::because(message, source) }
    }

    /// Whether somebody else may do the work in place of who went away.
    pub(super) fn is_loss(&self) -> bool {
        self.is_loss
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Somebody stopped it; whether the same command goes on from there.
    pub(super) fn interrupted(goes_on: bool) -> Self {
        let message = match goes_on {
            true => "interrupted: run the same command again, it goes on where it stopped",
            false => "interrupted",
        };
        Self::new(Exit::Interrupted, message)
    }

    /// A message in front of an error and all that caused it.
    pub(super) fn because(message: impl fmt::Display, source: &dyn Error) -> Self {
        Self::failed(format!("{message}: {}", with_causes(source)))
    }

    /// A failure to write to standard output: quiet when its reader went away.
    pub(super) fn output(source: &io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::ClosedPipe, "standard output was closed"),
            _ => Self::because("cannot write to standard output", source),
        }
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl<E: Error> From<E> for Failure {
    fn from(source: E) -> Self {
        Self::failed(with_causes(&source))
    }
}

/// An error and its causes on one line. A cause that the text before it already says is left out.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);

        assert_eq!(Failure::output(&closed).exit().code(), 0);
    }

    #[test]
    fn codes_survive_the_way_through_the_rpc() {
        for exit in [Exit::Failed, Exit::Usage, Exit::NotFound, Exit::Interrupted] {
            assert_eq!(Exit::from_code(exit.code()), exit);
        }
    }

    #[test]
    fn causes_are_named_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the list")]
        struct Outer(#[source] io::Error);

        let error = Outer(io::Error::other("the disk is gone"));

        assert_eq!(Failure::from(error).message(), "cannot read the list: the disk is gone");
    }
}
