//! How deep JSON nests: serde_json bounds it in what it reads, and not in what it passes over.

use memchr::memchr2;

/// Whether valid JSON nests deeper than so many levels.
pub fn is_deeper(json: &str, levels: usize) -> bool {
    let mut json = json.as_bytes();
    let mut depth = 0usize;
    while let Some((byte, rest)) = json.split_first() {
        json = match byte {
            b'"' => after_string(rest),
            _ => rest,
        };
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > levels {
            return true;
        }
    }
    false
}

/// What follows the string that has been opened.
fn after_string(mut json: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', json) {
        match json[at] {
            b'"' => return &json[at + 1..],
            // The character that is escaped may be a quote.
            _ => json = json.get(at + 2..).unwrap_or_default(),
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize, core: &str) -> String {
        format!("{}{core}{}", "[{\"a\":".repeat(levels / 2), "}]".repeat(levels / 2))
    }

    #[test]
    fn levels_are_counted() {
        assert!(!is_deeper(&nested(20, "1"), 20));
        assert!(is_deeper(&nested(20, "[]"), 20));
        assert!(!is_deeper(&format!("[{}]", vec!["{}"; 1_000].join(",")), 20));
    }

    #[test]
    fn what_stands_in_strings_does_not_nest() {
        let text = "[{".repeat(1_000);
        for string in [format!("\"{text}\""), format!("\"\\\"{text}\""), format!("\"{text}\\\\\"")] {
            assert!(serde_json::from_str::<String>(&string).is_ok());
            assert!(!is_deeper(&nested(20, &string), 20), "{}", &string[..8]);
            assert!(is_deeper(&nested(20, &format!("[{string}]")), 20));
        }
    }
}
