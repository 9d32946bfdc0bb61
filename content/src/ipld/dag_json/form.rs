//! How Kubo writes what JSON leaves open: floats, and characters that need not stand for themselves.

use std::io::{self, Write};

use bytes::Bytes;
use ipld_core::ipld::Ipld;
use serde::Serialize as _;
use serde_json::ser::{CharEscape, Formatter};

/// Fails on what is no number of 64 bits.
pub(super) fn write(node: &Ipld) -> Result<Bytes, serde_json::Error> {
    if has_no_number(node) {
        return Err(serde::ser::Error::custom("it is infinite, or no number"));
    }
    let mut out = Vec::new();
    let mut json = serde_json::Serializer::with_formatter(&mut out, Form);
    node.serialize(serde_ipld_dagjson::Serializer::new(&mut json))?;
    Ok(out.into())
}

/// The writer would put null.
fn has_no_number(node: &Ipld) -> bool {
    match node {
        Ipld::Float(number) => !number.is_finite(),
        Ipld::List(items) => items.iter().any(has_no_number),
        Ipld::Map(entries) => entries.values().any(has_no_number),
        _ => false,
    }
}

struct Form;

impl Formatter for Form {
    /// As JavaScript does it: the fewest digits, an exponent only for what is very small or large.
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, number: f64) -> io::Result<()> {
        let size = number.abs();
        // Kubo writes an exponent from 1e21 on, and between 2^63 and that an integer which nobody can read again.
        if size != 0.0 && !(1e-6..INTEGERS_END).contains(&size) {
            let text = format!("{number:e}");
            return match text.contains("e-") {
                true => writer.write_all(text.as_bytes()),
                false => writer.write_all(text.replace('e', "e+").as_bytes()),
            };
        }
        write!(writer, "{number}")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['\u{2028}', '\u{2029}']) {
            let (before, separator) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut characters = separator.chars();
            writer.write_all(if characters.next() == Some('\u{2028}') { b"\\u2028" } else { b"\\u2029" })?;
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::Solidus => writer.write_all(b"/"),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
        }
    }
}

/// 2^63.
const INTEGERS_END: f64 = 9_223_372_036_854_775_808.0;
