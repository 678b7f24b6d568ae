//! What forms and links are made of.

use std::fmt::Write as _;

/// Text as a part of a path or a query (RFC 3986 section 2.1).
pub(super) fn escaped(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// `path?key=value&…` of what is given and not empty.
pub(super) fn link(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    let mut joint = '?';
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(text, "{joint}{key}={}", escaped(value));
        joint = '&';
    }
    text
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

/// What is filled in, without the blanks around it; nothing: it is empty.
pub(super) fn filled(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_hold_whatever_is_put_into_them() {
        assert_eq!(link("/x", &[("a", "ñ&=#"), ("b", ""), ("c", "1")]), "/x?a=%C3%B1%26%3D%23&c=1");
        assert!(same("ab", "ab") && !same("ab", "abc") && !same("", "a"));
        assert_eq!((filled("  "), filled(" a ")), (None, Some("a".to_owned())));
    }
}
