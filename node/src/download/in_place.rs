//! A file that is written where it shall stand, leaf by leaf as they come: no leaf is on the disk twice.
//!
//! What stands in it already, because it was begun before, is proved and not fetched again. What is in the store, or repeats
//! itself, is copied. What peers send the store writes there itself.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use cidra_content::Block;
use cidra_content::block::{MAX_BLOCK_SIZE, RAW, is_inline};
use cidra_content::fetch::{Output, Place, Want};
use cidra_content::hash::Expect;
use cidra_content::unixfs::Wrapping;

use super::event::{event, part};
use super::{Download, DownloadEvent, FetchError, READ_AHEAD};
use crate::store::{Part, PartFile};

/// The file that is being written.
pub(super) struct Placing {
    file: Arc<PartFile>,
    size: u64,
    /// Bytes of it that were put out.
    at: u64,
    /// Leaves that peers were asked for.
    asked: BTreeMap<Cid, Place>,
    /// What the machine put out and does not stand in the file for sure yet.
    outputs: VecDeque<Output>,
}

impl Placing {
    /// Whether all that was put out stands in the file.
    pub(super) fn is_idle(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Peers are asked for these.
    pub(super) fn expect(&mut self, wanted: &[Want]) {
        for Want { cid, place, .. } in wanted {
            if let Some(place) = place {
                self.file.expect(cid, *place);
                self.asked.insert(*cid, *place);
            }
        }
    }

    /// It came; where it belongs.
    pub(super) fn came(&mut self, cid: &Cid) -> Option<Place> {
        self.asked.remove(cid)
    }

    fn failure(&self, source: io::Error) -> FetchError {
        FetchError::Output { path: self.file.source().path.clone(), source }
    }
}

impl Download {
    /// A file that is all of the content can be [placed](Self::place); to be called before anything else.
    pub fn in_place(self) -> Self {
        Self { fetch: self.fetch.in_place(), ..self }
    }

    /// The file of `size` bytes that began last goes into the one open at `path`, which is absolute: `Placed` comes in place of
    /// its bytes. What stands there is taken where it proves right. To be called before the next event is asked for.
    ///
    /// False, and nothing is changed, where it is no regular file.
    pub fn place(&mut self, file: File, path: PathBuf, size: u64) -> io::Result<bool> {
        let Some(file) = PartFile::new(file, path)? else { return Ok(false) };
        let file = Arc::new(file);
        self.node.store().fill(&file);
        self.placing = Some(Placing { file, size, at: 0, asked: BTreeMap::new(), outputs: VecDeque::new() });
        Ok(true)
    }

    /// The file that was placed stands at `path` from here on: others are served from there.
    pub async fn settle(&mut self, path: PathBuf) -> Result<(), FetchError> {
        if let Some(placing) = self.placing.take() {
            placing.file.settle(self.node.store(), path).await?;
        }
        Ok(())
    }

    /// Hands over the leaves that stand in the file; gives back the rest.
    pub(super) async fn find_in_place(&mut self, wanted: Vec<Want>) -> Result<Vec<Want>, FetchError> {
        let Some(file) = self.placing.as_ref().map(|placing| placing.file.clone()) else { return Ok(wanted) };
        let (mut absent, mut unproven) = (vec![], vec![]);
        for want in wanted {
            match want.place {
                Some(place) if file.holds(place) && want.cid.codec() == RAW => {
                    self.borrows = true;
                    self.fetch.handle_leaf(&want.cid, place.len)?;
                }
                Some(place) if place.len <= MAX_BLOCK_SIZE as u64 && !is_inline(&want.cid) => {
                    unproven.push((want, place));
                }
                _ => absent.push(want),
            }
        }
        for batch in unproven.chunks(PROVE) {
            let mut there = vec![];
            for (want, place) in batch {
                let read = file.read(*place).await.map_err(|error| self.output_failure(error))?;
                match read.map(|content| (*want, *place, wrapping(&want.cid), content)) {
                    Some(read) => there.push(read),
                    None => absent.push(*want),
                }
            }
            self.prove(&file, there, &mut absent).await?;
        }
        Ok(absent)
    }

    async fn prove(
        &mut self,
        file: &PartFile,
        there: Vec<(Want, Place, Wrapping, Bytes)>,
        absent: &mut Vec<Want>,
    ) -> Result<(), FetchError> {
        let questions = there.iter().map(|(want, _, wrapping, content)| {
            let (prefix, suffix) = wrapping.around(content.len());
            let data = match wrapping {
                Wrapping::Bare => content.clone(),
                Wrapping::Node => [&prefix[..], content, &suffix].concat().into(),
            };
            (Expect::Cid(want.cid), data)
        });
        let proven = self.node.pool().verify(questions.collect()).await;
        let (mut leaves, mut blocks) = (vec![], vec![]);
        for ((want, place, wrapping, _), proven) in there.into_iter().zip(proven) {
            let Ok(block) = proven else {
                absent.push(want);
                continue;
            };
            leaves.push(Part { cid: want.cid, offset: place.at, length: place.len as u32, wrapping });
            blocks.push((block, place));
        }
        if leaves.is_empty() {
            return Ok(());
        }
        file.adopt(self.node.store(), leaves).await?;
        self.borrows = true;
        for (block, place) in blocks {
            match block.cid().codec() {
                RAW => self.fetch.handle_leaf(block.cid(), place.len)?,
                _ => self.fetch.handle_block(&block)?,
            }
        }
        Ok(())
    }

    /// A leaf that was in the store is written where it belongs.
    pub(super) async fn copy_in_place(&mut self, want: &Want, block: &Block) -> Result<(), FetchError> {
        let (Some(placing), Some(place)) = (&self.placing, want.place) else { return Ok(()) };
        let Some((_, content)) = Wrapping::of(block).filter(|(_, content)| content.len() as u64 == place.len) else {
            return Ok(());
        };
        if placing.file.holds(place) {
            return Ok(());
        }
        placing.file.write(place.at, content).await.map_err(|error| placing.failure(error))
    }

    /// What is put out stands in the file, or is written there: leaves that repeat themselves, and what is in other nodes. False
    /// when there is nothing to put out. Cancel safe: what is put out is gone from the list in one step with all that follows, and
    /// a write that was begun goes on.
    pub(super) async fn put_in_place(&mut self) -> Result<bool, FetchError> {
        let Some(placing) = &mut self.placing else { return Ok(false) };
        let room = READ_AHEAD.saturating_sub(placing.outputs.len());
        placing.outputs.extend(std::iter::from_fn(|| self.fetch.poll_output()).take(room));
        let is_some = !placing.outputs.is_empty();
        while let Some(output) = placing.outputs.front() {
            let &Output::Bytes { cid, skip, len, .. } = output else {
                self.ready.extend(event(output.clone(), None)?);
                placing.outputs.pop_front();
                continue;
            };
            let place = Place { at: placing.at, len };
            if !placing.file.holds(place) {
                let block = self.node.store().block(&cid).await?.ok_or(FetchError::NotHere { cid })?;
                let bytes = part(&block, skip, len)?;
                placing.file.write(place.at, bytes).await.map_err(|error| placing.failure(error))?;
            }
            let is_last = placing.at + len == placing.size;
            if is_last {
                // The file, too: references that are durable name bytes that are.
                self.node.store().commit().await?;
            }
            placing.outputs.pop_front();
            placing.file.let_go(place);
            placing.at += len;
            if is_last {
                self.ready.push_back(DownloadEvent::Placed { size: placing.size });
            }
        }
        Ok(is_some)
    }

    fn output_failure(&self, source: io::Error) -> FetchError {
        match &self.placing {
            Some(placing) => placing.failure(source),
            None => FetchError::Output { path: PathBuf::new(), source },
        }
    }
}

/// The form that a leaf with this CID has if it is one of ours.
fn wrapping(cid: &Cid) -> Wrapping {
    if cid.codec() == RAW { Wrapping::Bare } else { Wrapping::Node }
}

/// Leaves that are read and proved at a time; one has at most 2 MiB.
const PROVE: usize = 8;
