//! Entity tags (RFC 9110, sections 8.8.3 and 13.1).

/// Whether the `If-None-Match` header names this tag. Tags are compared weakly.
pub fn none_match_names(header: &str, tag: &str) -> bool {
    let mut rest = header.trim();
    if rest == "*" {
        return true;
    }
    while let Some((theirs, behind)) = split_tag(rest) {
        if theirs == opaque(tag) {
            return true;
        }
        let Some(behind) = behind.trim_start().strip_prefix(',') else { return false };
        rest = behind.trim_start();
    }
    false
}

/// Whether the `If-Range` header names this tag, byte for byte the same representation. A date never does: content has none.
pub fn range_applies(header: &str, tag: &str) -> bool {
    !tag.starts_with("W/") && header.trim() == tag
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The first tag of a list, without its mark of weakness, and what comes behind it.
fn split_tag(text: &str) -> Option<(&str, &str)> {
    let text = opaque(text.trim_start());
    let end = text.strip_prefix('"')?.find('"')? + 2;
    Some(text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_whether_weak_or_not() {
        for header in [r#""b""#, r#"W/"b""#, r#""a", W/"x,y" ,"b""#, "*", " * "] {
            assert!(none_match_names(header, r#""b""#), "{header}");
            assert!(none_match_names(header, r#"W/"b""#), "{header}");
        }
        for header in ["", "b", r#""a""#, r#""a" "b""#, r#""a,"b""#, r#"""#, r#""ab""#] {
            assert!(!none_match_names(header, r#""b""#), "{header}");
        }
    }

    #[test]
    fn a_range_is_of_the_same_bytes_only() {
        assert!(range_applies(r#""b""#, r#""b""#));
        assert!(!range_applies(r#"W/"b""#, r#"W/"b""#));
        assert!(!range_applies("Wed, 21 Oct 2015 07:28:00 GMT", r#""b""#));
    }
}
