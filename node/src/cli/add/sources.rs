//! Everything that an `add` sends: the frames of its paths, and of standard input where `-` stands among them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Arguments;
use super::ignore::Ignored;
use super::walk::{PIECE, Selection, Walk, wire_name};
use crate::api::tree::{Entry, Failed, Frame, Kind, data_head};
use crate::cli::failure::{Failure, Outcome, with_causes};
use crate::cli::standard_input::StandardInput;

/// What to send: paths, with standard input among them.
pub(in crate::cli) struct Sources {
    parts: Vec<Part>,
    selection: Selection,
}

enum Part {
    Paths(Vec<PathBuf>),
    StandardInput { name: Vec<u8> },
}

impl Sources {
    pub(super) fn new(arguments: &Arguments) -> Outcome<Self> {
        let mut rules = arguments.ignore.clone();
        if let Some(path) = &arguments.ignore_rules_path {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::because(format!("cannot read {}", path.display()), &error))?;
            rules.splice(0..0, text.lines().map(str::to_owned));
        }
        let ignored = Ignored::new(&rules);
        let in_place = arguments.nocopy;
        if in_place && arguments.paths.iter().any(|path| path.as_os_str() == "-") {
            return Err(Failure::usage("--nocopy refers to files, and standard input is none"));
        }
        let selection = Selection {
            hidden: arguments.hidden,
            ignored,
            follow_named: arguments.dereference_args,
            mode: arguments.form.preserve_mode,
            mtime: arguments.form.preserve_mtime,
            in_place,
        };
        let name = arguments.stdin_name.clone().unwrap_or_default().into_bytes();
        Self::of(&arguments.paths, name, selection, arguments.wrap)
    }

    /// These paths; `-` is standard input, under this name. In one folder all names must differ.
    pub(in crate::cli) fn of(
        paths: &[PathBuf],
        stdin_name: Vec<u8>,
        selection: Selection,
        in_one_folder: bool,
    ) -> Outcome<Self> {
        let mut parts = vec![];
        for path in paths {
            if path.as_os_str() == "-" {
                if parts.iter().any(|part| matches!(part, Part::StandardInput { .. })) {
                    return Err(Failure::usage("`-` stands for standard input, which can be read only once"));
                }
                parts.push(Part::StandardInput { name: stdin_name.clone() });
            } else if let Some(Part::Paths(paths)) = parts.last_mut() {
                paths.push(path.clone());
            } else {
                parts.push(Part::Paths(vec![path.clone()]));
            }
        }
        if in_one_folder {
            refuse_equal_names(paths)?;
        }
        Ok(Self { parts, selection })
    }

    /// Looks at all files before the first is sent. How many bytes there are, unless standard input is among them.
    pub(in crate::cli) fn survey(&self) -> Outcome<Option<u64>> {
        let mut total = Some(0);
        for part in &self.parts {
            total = match part {
                Part::Paths(paths) => {
                    let here = Walk::new(paths.clone(), self.selection.clone()).survey()?;
                    total.map(|total| total + here)
                }
                Part::StandardInput { .. } => None,
            };
        }
        Ok(total)
    }

    /// Sends everything as frames. A failure is told to the node, so that it keeps nothing of what is not whole.
    pub(in crate::cli) async fn send(self, input: &mut StandardInput, sender: mpsc::Sender<Bytes>) -> Outcome {
        let sent = self.send_parts(input, &sender).await;
        let last = match &sent {
            Ok(()) => Frame::End,
            Err(Stop::Failed(failure)) => {
                Frame::Error(Failed { message: failure.message().to_owned(), exit: failure.exit().code() })
            }
            Err(Stop::NobodyListens) => return Ok(()),
        };
        // The node's answer says why it no longer listens.
        let _ = push(&sender, last).await;
        match sent {
            Err(Stop::Failed(failure)) => Err(failure),
            _ => Ok(()),
        }
    }

    async fn send_parts(self, input: &mut StandardInput, sender: &mpsc::Sender<Bytes>) -> Result<(), Stop> {
        for part in self.parts {
            match part {
                Part::Paths(paths) => {
                    let mut walk = Walk::new(paths, self.selection.clone());
                    while let Some(frame) = walk.next_frame()? {
                        push(sender, frame).await?;
                    }
                }
                Part::StandardInput { name } => send_standard_input(name, input, sender).await?,
            }
        }
        Ok(())
    }
}

fn refuse_equal_names(paths: &[PathBuf]) -> Outcome {
    let mut names = BTreeMap::new();
    for path in paths.iter().filter(|path| path.as_os_str() != "-") {
        if let Some(other) = names.insert(wire_name(path)?, path) {
            let (one, two) = (other.display(), path.display());
            return Err(Failure::usage(format!("{one} and {two} have the same name: they do not fit into one folder")));
        }
    }
    Ok(())
}

/// Why sending ends early.
enum Stop {
    Failed(Failure),
    NobodyListens,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

async fn push(sender: &mpsc::Sender<Bytes>, frame: Frame) -> Result<(), Stop> {
    if let Frame::Data(bytes) = frame {
        for piece in split(bytes) {
            let head = Bytes::copy_from_slice(&data_head(piece.len()));
            sender.send(head).await.map_err(|_| Stop::NobodyListens)?;
            sender.send(piece).await.map_err(|_| Stop::NobodyListens)?;
        }
        return Ok(());
    }
    let encoded = frame.encode().map_err(|error| Failure::failed(with_causes(&error)))?;
    sender.send(encoded).await.map_err(|_| Stop::NobodyListens)
}

/// Pieces of at most [`PIECE`] bytes, none of them empty.
fn split(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let piece = bytes.split_to(bytes.len().min(PIECE));
        (!piece.is_empty()).then_some(piece)
    })
}

async fn send_standard_input(
    name: Vec<u8>,
    input: &mut StandardInput,
    sender: &mpsc::Sender<Bytes>,
) -> Result<(), Stop> {
    input.begin()?;
    push(sender, Frame::Entry(Entry::new(name, Kind::File))).await?;
    loop {
        let bytes = input.next(PIECE).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        push(sender, Frame::Data(bytes)).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    #[test]
    fn paths_of_one_name_do_not_fit_into_one_folder() {
        let failure = refuse_equal_names(&["/a/x".into(), "/b/x".into()]).unwrap_err();

        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.message().contains("/a/x and /b/x"));
    }
}
