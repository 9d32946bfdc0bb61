//! The files that are referred to and, for those that stand in for a copy, which blocks are where in them: so an index that is
//! lost is made again with these references, too. What is only left of a fetch is not worth as much.

use std::collections::BTreeSet;
use std::path::Path;

use cidra_content::unixfs::Wrapping;
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::super::entry::{Key, Reference};
use super::super::source::{Source, path_key};
use super::Roots;

impl Roots {
    /// What is known of files that are referred to.
    pub(in crate::store) fn sources(&self, numbers: &[u32]) -> Result<Vec<Option<Source>>, redb::Error> {
        self.database.read(|transaction| {
            let table = transaction.open_table(SOURCES)?;
            let find = |number| Ok(table.get(number)?.and_then(|row| Source::decode(row.value())));
            numbers.iter().map(find).collect()
        })
    }

    /// The file at this path.
    pub(in crate::store) fn source_at(&self, path: &Path) -> Result<Option<(u32, Source)>, redb::Error> {
        self.database.read(|transaction| {
            let Some(number) = transaction.open_table(PATHS)?.get(path_key(path))? else { return Ok(None) };
            let row = transaction.open_table(SOURCES)?.get(number.value())?;
            Ok(row.and_then(|row| Source::decode(row.value())).map(|source| (number.value(), source)))
        })
    }

    /// The numbers of all files that are referred to.
    pub(in crate::store) fn source_numbers(&self) -> Result<BTreeSet<u32>, redb::Error> {
        self.database.read(|transaction| {
            let table = transaction.open_table(SOURCES)?;
            let numbers = table.iter()?.map(|row| Ok(row?.0.value()));
            numbers.collect()
        })
    }

    /// At most `most` blocks that were ever referred to in files that are still what they were, from behind `after` on. What
    /// is in a segment, too, or was collected meanwhile, may be among them.
    pub(in crate::store) fn references(
        &self,
        after: Option<&(Key, Reference)>,
        most: usize,
    ) -> Result<Vec<(Key, Reference)>, redb::Error> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.database.read(|transaction| {
            let table = transaction.open_table(REFERENCES)?;
            let from = after.map_or(Unbounded, |(key, reference)| Excluded((reference.file, &*key.0)));
            let mut found = Vec::new();
            for row in table.range::<(u32, &[u8])>((from, Unbounded))?.take(most) {
                let (key, value) = row?;
                let ((file, key), (offset, length, is_wrapped)) = (key.value(), value.value());
                let wrapping = if is_wrapped { Wrapping::Node } else { Wrapping::Bare };
                found.push((Key(key.into()), Reference { file, offset, length, wrapping }));
            }
            Ok(found)
        })
    }
}

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(SOURCES)?;
    transaction.open_table(PATHS)?;
    transaction.open_table(REFERENCES)?;
    Ok(())
}

/// Says whether the file was known.
pub(super) fn set(transaction: &WriteTransaction, number: u32, source: Option<&Source>) -> Result<bool, redb::Error> {
    let (mut sources, mut paths) = (transaction.open_table(SOURCES)?, transaction.open_table(PATHS)?);
    let old = sources.remove(number)?.and_then(|row| Source::decode(row.value()));
    if let Some(old) = &old
        && paths.get(path_key(&old.path))?.is_some_and(|at| at.value() == number)
    {
        paths.remove(path_key(&old.path))?;
    }
    match source {
        Some(source) => {
            sources.insert(number, &*source.encode())?;
            paths.insert(path_key(&source.path), number)?;
        }
        None => {
            let all = (number, &[][..])..(number.saturating_add(1), &[][..]);
            transaction.open_table(REFERENCES)?.retain_in(all, |_, _| false)?;
        }
    }
    Ok(old.is_some())
}

pub(super) fn refer(transaction: &WriteTransaction, references: &[(Key, Reference)]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(REFERENCES)?;
    for (key, Reference { file, offset, length, wrapping }) in references {
        table.insert((*file, &*key.0), (*offset, *length, *wrapping == Wrapping::Node))?;
    }
    Ok(())
}

const SOURCES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("sources");
/// The source of each path.
const PATHS: TableDefinition<'_, &[u8], u32> = TableDefinition::new("paths");
/// The file and the multihash of a block; where its bytes begin, how many they are, and whether something stands around them.
pub(super) const REFERENCES: TableDefinition<'_, (u32, &[u8]), (u64, u32, bool)> = TableDefinition::new("references");
