//! A provider's message without what is not the client's business: addresses, and whatever may be a key.

use std::net::{IpAddr, SocketAddr};

/// The longest message that is passed on, in characters.
const MAX_MESSAGE: usize = 600;

/// What keys and the ids of accounts begin with.
const SECRET_PREFIXES: [&str; 6] = ["sk-", "rc_", "gw_live_", "key-", "org-", "proj_"];

/// The message in one line, cut to a bearable length. Without control characters: it is read in terminals.
pub(super) fn cleaned(message: &str) -> String {
    // First of all, or one in the middle of an address would hide it.
    let plain: String = message.chars().filter(|c| c.is_whitespace() || !c.is_control()).collect();
    let text = plain.split_whitespace().map(clean_word).collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn clean_word(word: &str) -> &str {
    let lower = word.to_ascii_lowercase();
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let bare_lower = bare.to_ascii_lowercase();
    let digits = bare.bytes().filter(u8::is_ascii_digit).count();
    let key_like =
        bare.len() >= 24 && digits >= 4 && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if lower.contains("://") || lower.contains("www.") {
        "[url]"
    } else if bare.parse::<IpAddr>().is_ok() || bare.parse::<SocketAddr>().is_ok() {
        "[address]"
    } else if SECRET_PREFIXES.iter().any(|prefix| bare_lower.starts_with(prefix)) || word.contains("***") || key_like {
        "[key]"
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_addresses_are_taken_out_of_messages() {
        let message = "Incorrect API key provided: sk-abcd****wxyz. See https://example.com/keys or 0123456789abcdef0123456789abcdef";
        assert_eq!(cleaned(message), "Incorrect API key provided: [key] See [url] or [key]");
    }

    #[test]
    fn control_characters_are_taken_out() {
        assert_eq!(cleaned("first\r\nsecond\0\u{1b}[31m\u{7}\u{9b}2J third"), "first second[31m2J third");
        assert_eq!(cleaned("see https:\u{12}//example.com and s\0k-abcd"), "see [url] and [key]");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let cut = cleaned(&"ü".repeat(2 * MAX_MESSAGE));
        assert_eq!(cut.chars().count(), MAX_MESSAGE + 1);
    }
}
