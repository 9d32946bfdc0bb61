//! The type of a file: by its name, else by its first bytes (path gateway specification, Response Headers, `Content-Type`;
//! the bytes as WHATWG's MIME Sniffing has them, and JSON and SVG beside).

use serde::de::IgnoredAny;

/// The type of a file of this name that begins with `first`.
pub fn media_type(name: &str, first: &[u8]) -> &'static str {
    by_name(name).unwrap_or_else(|| by_bytes(first))
}

/// So many bytes of a file are looked at.
pub const SNIFFED: usize = 3072;

/// The type that the name alone tells.
pub fn by_name(name: &str) -> Option<&'static str> {
    let (stem, extension) = name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    let found = EXTENSIONS.iter().find(|(known, _)| *known == extension)?;
    (!stem.is_empty()).then_some(found.1)
}

const EXTENSIONS: [(&str, &str); 74] = [
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain; charset=utf-8"),
    ("car", "application/vnd.ipld.car"),
    ("cbor", "application/cbor"),
    ("conf", "text/plain; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("deb", "application/vnd.debian.binary-package"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("go", "text/plain; charset=utf-8"),
    ("gz", "application/gzip"),
    ("h", "text/plain; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("iso", "application/x-iso9660-image"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("log", "text/plain; charset=utf-8"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("rs", "text/plain; charset=utf-8"),
    ("rss", "application/rss+xml"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("ts", "video/mp2t"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "text/xml; charset=utf-8"),
    ("xz", "application/x-xz"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

fn by_bytes(first: &[u8]) -> &'static str {
    let first = &first[..first.len().min(SNIFFED)];
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    if let Some(media_type) = markup(text) {
        return media_type;
    }
    if let Some((.., media_type)) =
        MAGIC.iter().find(|(at, magic, _)| first.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
    {
        return media_type;
    }
    if first.starts_with(b"RIFF") {
        return match first.get(8..12) {
            Some(b"WEBP") => "image/webp",
            Some(b"WAVE") => "audio/wav",
            Some(b"AVI ") => "video/x-msvideo",
            _ => BINARY,
        };
    }
    if first.get(4..8) == Some(b"ftyp") {
        return match first.get(8..12) {
            Some(b"avif" | b"avis") => "image/avif",
            Some(b"heic" | b"heix" | b"mif1") => "image/heic",
            Some(b"qt  ") => "video/quicktime",
            _ => "video/mp4",
        };
    }
    match () {
        () if is_json(text) => "application/json",
        () if is_text(first) => "text/plain; charset=utf-8",
        () => BINARY,
    }
}

const BINARY: &str = "application/octet-stream";

fn markup(text: &[u8]) -> Option<&'static str> {
    let begins = |tag: &str| text.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag.as_bytes()));
    let holds_svg = || text.windows(5).any(|bytes| matches!(bytes, b"<svg " | b"<svg>" | b"<svg\n" | b"<svg\r"));
    if begins("<svg") || begins("<?xml") && holds_svg() {
        return Some("image/svg+xml");
    }
    if begins("<?xml") {
        return Some("text/xml; charset=utf-8");
    }
    let ends = |tag: &str| text.get(tag.len()).is_none_or(|byte| matches!(byte, b' ' | b'>' | b'\n' | b'\r' | b'\t'));
    let html = HTML.iter().any(|tag| begins(tag) && ends(tag)) || begins("<!--") && !holds_svg();
    html.then_some("text/html; charset=utf-8")
}

const HTML: [&str; 16] = [
    "<!doctype html",
    "<a",
    "<b",
    "<body",
    "<br",
    "<div",
    "<font",
    "<h1",
    "<head",
    "<html",
    "<iframe",
    "<p",
    "<script",
    "<style",
    "<table",
    "<title",
];

/// Where it stands, what stands there, and what that means.
const MAGIC: [(usize, &[u8], &str); 28] = [
    (0, b"%PDF-", "application/pdf"),
    (0, b"%!PS-Adobe-", "application/postscript"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x00\x00\x01\x00", "image/x-icon"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"\xff\x0a", "image/jxl"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"\x00asm", "application/wasm"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"OTTO", "font/otf"),
    (257, b"ustar", "application/x-tar"),
];

fn is_json(text: &[u8]) -> bool {
    if !matches!(text.first(), Some(b'{' | b'[')) {
        return false;
    }
    match serde_json::from_slice::<IgnoredAny>(text) {
        Ok(_) => true,
        // It may go on.
        Err(error) => error.is_eof() && text.len() + 64 > SNIFFED,
    }
}

/// Whether it can be text: no byte that only binary data has, and UTF-8 as far as it goes.
fn is_text(first: &[u8]) -> bool {
    let binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
    let valid = match std::str::from_utf8(first) {
        Ok(_) => true,
        // The last character is cut.
        Err(error) => error.error_len().is_none() && first.len() == SNIFFED,
    };
    valid && !first.iter().any(binary)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_name_counts_more_than_the_bytes() {
        assert_eq!(media_type("page.HTML", b"\x89PNG\r\n\x1a\n"), "text/html; charset=utf-8");
        assert_eq!(media_type(".png", b"hello"), "text/plain; charset=utf-8");
        assert_eq!(media_type("a.b/c", b"{}"), "application/json");
    }

    #[test]
    fn bytes_tell_what_the_name_does_not() {
        for (first, expected) in [
            (&b"hello\n"[..], "text/plain; charset=utf-8"),
            (b"", "text/plain; charset=utf-8"),
            (b" \n<!DOCTYPE html><p>", "text/html; charset=utf-8"),
            (b"<abc>", "text/plain; charset=utf-8"),
            (b"<?xml version='1.0'?><svg xmlns=''>", "image/svg+xml"),
            (b"<?xml version='1.0'?><rss>", "text/xml; charset=utf-8"),
            (b"{\"a\": [1, 2]}\n", "application/json"),
            (b"{\"a\": [1, 2", "text/plain; charset=utf-8"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x20ftypisom", "video/mp4"),
            (b"\x7fELF\x02", "application/octet-stream"),
            (b"caf\xe9", "application/octet-stream"),
        ] {
            assert_eq!(media_type("", first), expected, "{}", first.escape_ascii());
        }
    }

    #[test]
    fn text_and_json_may_go_on_behind_what_is_looked_at() {
        let text = "é".repeat(SNIFFED);
        let json = format!("[{}", "1,".repeat(SNIFFED));

        assert_eq!(media_type("", &text.as_bytes()[1..]), "application/octet-stream");
        assert_eq!(media_type("", format!("a{text}").as_bytes()), "text/plain; charset=utf-8");
        assert_eq!(media_type("", json.as_bytes()), "application/json");
    }

    proptest! {
        #[test]
        fn anything_has_a_type(name: String, first: Vec<u8>) {
            prop_assert!(media_type(&name, &first).contains('/'));
        }
    }
}
