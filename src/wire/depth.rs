//! How deep JSON nests: serde_json bounds it in what it reads, and not in what it passes over.

use memchr::memchr_iter;

/// Whether valid JSON nests deeper than so many levels.
pub fn is_deeper(json: &str, levels: usize) -> bool {
    let json = json.as_bytes();
    // Few brackets, wherever they stand, are no depth: to count them takes much less than to see which stand in strings.
    if memchr_iter(b'{', json).count() + memchr_iter(b'[', json).count() <= levels {
        return false;
    }
    let mut depth = 0usize;
    // Where the string, or what stands between strings, begins.
    let mut from = 0;
    let mut in_string = false;
    // From quote to quote: strings are most of what is sent, and few of them hold a quote.
    for quote in memchr_iter(b'"', json).chain([json.len()]) {
        if in_string && is_escaped(&json[from..quote]) {
            continue;
        }
        if !in_string {
            for byte in &json[from..quote] {
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth > levels {
                    return true;
                }
            }
        }
        in_string = !in_string;
        from = quote + 1;
    }
    false
}

/// Whether what follows this beginning of a string is escaped.
fn is_escaped(string: &[u8]) -> bool {
    string.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
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
