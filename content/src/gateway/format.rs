//! In which form the content is wanted: the query's `format`, else the `Accept` header (path gateway specification, Request
//! Headers, `Accept`; IPIP-523: the query counts more).

/// A form that has to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A block of codec cbor or dag-cbor, as plain CBOR.
    Cbor,
    /// The blocks of a DAG.
    Car,
    /// A block of codec dag-cbor.
    DagCbor,
    /// A block of codec dag-json.
    DagJson,
    /// The signed record of a name.
    IpnsRecord,
    /// A block of codec json or dag-json, or a file that is JSON.
    Json,
    /// One block, as it is.
    Raw,
    /// Files and folders in one stream.
    Tar,
}

impl Format {
    /// The form of this name in the query.
    pub fn named(name: &str) -> Option<Format> {
        FORMATS.iter().find(|(_, known, _)| *known == name).map(|(format, ..)| *format)
    }

    /// Its name in the query.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its media type, without parameters.
    pub fn media_type(self) -> &'static str {
        self.row().2
    }

    /// Whether whoever gets it can prove it (trustless gateway specification).
    pub fn is_trustless(self) -> bool {
        matches!(self, Format::Raw | Format::Car | Format::IpnsRecord)
    }

    fn row(self) -> &'static (Format, &'static str, &'static str) {
        FORMATS.iter().find(|(format, ..)| *format == self).expect("all stand in the table")
    }
}

const FORMATS: [(Format, &str, &str); 8] = [
    (Format::Cbor, "cbor", "application/cbor"),
    (Format::Car, "car", "application/vnd.ipld.car"),
    (Format::DagCbor, "dag-cbor", "application/vnd.ipld.dag-cbor"),
    (Format::DagJson, "dag-json", "application/vnd.ipld.dag-json"),
    (Format::IpnsRecord, "ipns-record", "application/vnd.ipfs.ipns-record"),
    (Format::Json, "json", "application/json"),
    (Format::Raw, "raw", "application/vnd.ipld.raw"),
    (Format::Tar, "tar", "application/x-tar"),
];

/// What a request says of the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// `None`: as the content is, for whoever it is.
    pub format: Option<Format>,
    /// What stands behind the media type in `Accept`, where that is of this format.
    pub parameters: Vec<(String, String)>,
    /// Whether a page to look at is welcome.
    pub html: bool,
    /// Whether anything at all is welcome.
    pub anything: bool,
}

impl Wish {
    /// What the query's `format` and the `Accept` header ask for. An unknown format is nobody's wish.
    pub fn of(format: Option<&str>, accept: &str) -> Wish {
        let ranges: Vec<MediaRange<'_>> = accept.split(',').take(MAX_RANGES).filter_map(MediaRange::parse).collect();
        let known = |range: &MediaRange<'_>| {
            let row = FORMATS.iter().find(|(.., media_type)| media_type.eq_ignore_ascii_case(range.media_type));
            row.map(|(format, ..)| (*format, range.quality))
        };
        let mut accepted: Vec<(Format, u16, usize)> = vec![];
        for (place, range) in ranges.iter().enumerate() {
            accepted.extend(known(range).map(|(format, quality)| (format, quality, place)));
        }
        accepted.sort_by_key(|(_, quality, place)| (u16::MAX - quality, *place));
        let accepted = accepted.first().map(|(format, _, place)| (*format, &ranges[*place]));
        let named = format.and_then(Format::named);
        let format = named.or(accepted.map(|(format, _)| format));
        let parameters = match accepted {
            Some((accepted, range)) if format == Some(accepted) => range.parameters(),
            _ => vec![],
        };
        let takes = |media_type: &str| ranges.iter().any(|range| range.media_type.eq_ignore_ascii_case(media_type));
        Wish { format, parameters, html: takes("text/html"), anything: ranges.is_empty() || takes("*/*") }
    }
}

/// More of them are not looked at; browsers send some ten.
const MAX_RANGES: usize = 64;

/// One part of an `Accept` header that is not refused.
struct MediaRange<'a> {
    media_type: &'a str,
    behind: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Option<MediaRange<'a>> {
        let (media_type, behind) = text.split_once(';').unwrap_or((text, ""));
        let mut range = MediaRange { media_type: media_type.trim(), behind, quality: 1000 };
        let weight = range.parameters().into_iter().find(|(name, _)| name == "q");
        if let Some((_, weight)) = weight {
            range.quality = weight.parse::<f32>().map_or(1000, |weight| (weight.clamp(0.0, 1.0) * 1000.0) as u16);
        }
        (range.quality > 0 && !range.media_type.is_empty()).then_some(range)
    }

    fn parameters(&self) -> Vec<(String, String)> {
        let pairs = self.behind.split(';').filter_map(|pair| pair.split_once('='));
        let clean =
            |(name, value): (&str, &str)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned());
        pairs.map(clean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_counts_more_than_the_header() {
        let wish = Wish::of(Some("raw"), "application/vnd.ipld.car; order=dfs");

        assert_eq!((wish.format, wish.parameters), (Some(Format::Raw), vec![]));
    }

    #[test]
    fn parameters_of_the_header_count_where_it_names_the_format_of_the_query() {
        let wish = Wish::of(Some("car"), "text/html, application/vnd.ipld.car;version=1; order=dfs; dups=\"y\"");

        let parameters = [("version", "1"), ("order", "dfs"), ("dups", "y")];
        assert_eq!(wish.parameters, parameters.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(wish.html);
    }

    #[test]
    fn a_browser_wishes_for_no_format() {
        let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

        let wish = Wish::of(None, accept);

        assert_eq!(wish, Wish { format: None, parameters: vec![], html: true, anything: true });
        assert_eq!(Wish::of(Some("mp3"), "").format, None);
    }

    #[test]
    fn what_is_wished_for_most_is_taken_and_what_is_refused_is_not() {
        let of = |accept| Wish::of(None, accept).format;

        assert_eq!(of("application/vnd.ipld.dag-json;q=0.1, application/vnd.ipld.car;q=0.2"), Some(Format::Car));
        assert_eq!(of("application/vnd.ipld.raw, application/vnd.ipld.car"), Some(Format::Raw));
        assert_eq!(of("application/vnd.ipld.raw;q=0"), None);
    }

    #[test]
    fn ranges_past_the_limit_are_not_looked_at() {
        let accept = |others: usize| "text/plain,".repeat(others) + "application/x-tar";

        assert_eq!(Wish::of(None, &accept(MAX_RANGES - 1)).format, Some(Format::Tar));
        assert_eq!(Wish::of(None, &accept(MAX_RANGES)).format, None);
    }
}
