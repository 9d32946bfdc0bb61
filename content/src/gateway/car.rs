//! What of a DAG a CAR is to hold (trustless gateway specification, Request Query Parameters and CAR Responses).

use std::fmt;
use std::ops::Range;

use super::{Query, Wish};

/// A request for a CAR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarRequest {
    /// Which blocks, beside those on the way.
    pub scope: Scope,
    /// Which bytes of a file; only of [`Scope::Entity`].
    pub bytes: Option<EntityBytes>,
    /// Whether a block is sent each time that the walk comes by.
    pub duplicates: bool,
}

/// Which blocks, beside those on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that can be reached.
    All,
    /// That of the end of the path.
    Block,
    /// Those that make up the file or the list of the folder.
    Entity,
}

/// `from:to`, both included; negative numbers are counted from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityBytes {
    /// The first byte.
    pub from: i64,
    /// The last byte; `None` is the end.
    pub to: Option<i64>,
}

impl CarRequest {
    /// What the query says, else the parameters of `Accept`.
    pub fn of(query: &Query, wish: &Wish) -> Result<CarRequest, CarRequestError> {
        let parameter = |query_name: &str, name: &'static str| {
            let accepted = wish.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..]);
            query.get(query_name).or(accepted).filter(|value| !value.is_empty())
        };
        let unknown = |name: &'static str, value: &str| CarRequestError::Unknown { name, value: value.to_owned() };
        if let Some(version) = parameter("car-version", "version").filter(|version| *version != "1") {
            return Err(unknown("version", version));
        }
        if let Some(order) = parameter("car-order", "order").filter(|order| !matches!(*order, "dfs" | "unk")) {
            return Err(unknown("order", order));
        }
        let duplicates = match parameter("car-dups", "dups") {
            None | Some("n") => false,
            Some("y") => true,
            Some(other) => return Err(unknown("dups", other)),
        };
        let bytes = query.get("entity-bytes").map(EntityBytes::parse).transpose()?;
        let scope = match query.get("dag-scope") {
            None if bytes.is_some() => Scope::Entity,
            None | Some("all") => Scope::All,
            Some("block") => Scope::Block,
            Some("entity") => Scope::Entity,
            Some(other) => return Err(unknown("dag-scope", other)),
        };
        Ok(CarRequest { scope, bytes: bytes.filter(|_| scope == Scope::Entity), duplicates })
    }
}

/// As it marks the tag of an answer.
impl fmt::Display for CarRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            Scope::All => "all",
            Scope::Block => "block",
            Scope::Entity => "entity",
        };
        write!(formatter, "{scope}")?;
        if let Some(EntityBytes { from, to }) = self.bytes {
            write!(formatter, ".{from}:")?;
            match to {
                Some(to) => write!(formatter, "{to}")?,
                None => formatter.write_str("*")?,
            }
        }
        formatter.write_str(if self.duplicates { ".dups" } else { "" })
    }
}

impl EntityBytes {
    fn parse(text: &str) -> Result<EntityBytes, CarRequestError> {
        let malformed = || CarRequestError::Unknown { name: "entity-bytes", value: text.to_owned() };
        let (from, to) = text.split_once(':').ok_or_else(malformed)?;
        let number = |text: &str| text.parse::<i64>().map_err(|_| malformed());
        let to = if to == "*" { None } else { Some(number(to)?) };
        let bytes = EntityBytes { from: number(from)?, to };
        let same_side = |from: i64, to: i64| (from < 0) == (to < 0);
        match bytes.to.filter(|to| same_side(bytes.from, *to) && *to < bytes.from) {
            Some(_) => Err(malformed()),
            None => Ok(bytes),
        }
    }

    /// The bytes of an entity of this size that are meant; empty where there are none.
    pub fn within(&self, size: u64) -> Range<u64> {
        let place = |number: i64| match number {
            0.. => number.unsigned_abs(),
            _ => size.saturating_sub(number.unsigned_abs()),
        };
        let end = match self.to {
            None => size,
            // The whole entity lies behind it.
            Some(to) if to < 0 && to.unsigned_abs() > size => 0,
            Some(to) => place(to).saturating_add(1).min(size),
        };
        place(self.from).min(end)..end
    }
}

/// A request that nobody can fulfil.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CarRequestError {
    /// A parameter has a value that means nothing here.
    #[error("unsupported CAR parameter {name}={value:?}")]
    Unknown {
        /// Of this parameter.
        name: &'static str,
        /// As it was given.
        value: String,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(query: &str, accept: &str) -> Result<CarRequest, CarRequestError> {
        CarRequest::of(&Query::parse(query), &Wish::of(Some("car"), accept))
    }

    #[test]
    fn entity_bytes_mean_an_entity() {
        let request = asked("entity-bytes=0:*", "").unwrap();

        assert_eq!((request.scope, request.bytes), (Scope::Entity, Some(EntityBytes { from: 0, to: None })));
        assert_eq!(asked("", "").unwrap(), CarRequest { scope: Scope::All, bytes: None, duplicates: false });
    }

    #[test]
    fn the_query_counts_more_than_the_header() {
        let accept = "application/vnd.ipld.car; order=unk; dups=n";

        assert!(asked("car-dups=y&car-order=dfs", accept).unwrap().duplicates);
        assert!(!asked("", accept).unwrap().duplicates);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for query in [
            "car-version=2",
            "car-order=bfs",
            "car-dups=maybe",
            "dag-scope=some",
            "entity-bytes=1",
            "entity-bytes=a:b",
            "entity-bytes=5:1",
            "entity-bytes=-1:-5",
            "entity-bytes=*:1",
        ] {
            assert!(asked(query, "").is_err(), "{query}");
        }
    }

    #[test]
    fn bytes_are_counted_from_both_ends() {
        let of = |text: &str, size| {
            let range = EntityBytes::parse(text).unwrap().within(size);
            (range.start, range.end)
        };

        assert_eq!(of("0:*", 10), (0, 10));
        assert_eq!(of("2:3", 10), (2, 4));
        assert_eq!(of("-3:*", 10), (7, 10));
        assert_eq!(of("-99:*", 10), (0, 10));
        assert_eq!(of("-99:-3", 10), (0, 8));
        assert_eq!(of("4:-3", 10), (4, 8));
        assert_eq!(of("99:*", 10), (10, 10));
        assert_eq!(of("9:-5", 10), (6, 6));
        assert_eq!(of("0:-11", 10), (0, 0));
    }

    proptest! {
        #[test]
        fn bytes_lie_within(from: i64, to: Option<i64>, size: u64) {
            let range = EntityBytes { from, to }.within(size);
            prop_assert!(range.start <= range.end && range.end <= size);
        }
    }
}
