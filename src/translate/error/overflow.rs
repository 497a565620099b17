//! A prompt that is longer than the model's context, in Anthropic's words: by them clients know that they must
//! compact (T61).

use super::said::Said;

/// How providers say it.
const SIGNS: [&str; 16] = [
    "context_length_exceeded",
    "exceed_context_size",
    "token_limit_exceeded",
    "maximum context length",
    "maximum prompt length",
    "maximum number of tokens allowed",
    "maximum allowed number of input tokens",
    "model token limit",
    "context window",
    "context length",
    "context size",
    "prompt is too long",
    "input is too long",
    "too many tokens",
    "tokens + `max_new_tokens`",
    "reduce the length of the messages",
];

/// The least figure that can be a number of tokens here, rather than a status or a count of messages.
const LEAST: u64 = 100;

pub(super) fn is_overflow(said: &Said) -> bool {
    // The prompt fits, the answer that was asked for does not: to compact would not help (T62).
    let answer_too_long = said.mentions(&["max_tokens", "max_completion_tokens"]) && said.mentions(&["is too large"]);
    (said.overflow.is_some() || said.mentions(&SIGNS)) && !answer_too_long
}

pub(super) fn message(said: &Said) -> String {
    let mut numbers = numbers(&said.words);
    numbers.sort_unstable();
    numbers.dedup();
    let largest = match numbers[..] {
        [.., maximum, tokens] => Some((tokens, maximum)),
        _ => None,
    };
    match said.overflow.or(largest) {
        Some((tokens, maximum)) => format!("prompt is too long: {tokens} tokens > {maximum} maximum"),
        None => "prompt is too long: the model's context does not hold it".to_owned(),
    }
}

/// The numbers that stand alone: not parts of names, versions or ids. `200,000` is one.
fn numbers(text: &str) -> Vec<u64> {
    let is_in_name = |c: char| c.is_alphanumeric() || "_-.,".contains(c);
    let words = text.split(|c: char| !is_in_name(c)).map(|word| word.trim_matches([',', '.', '-']));
    let plain = words.filter(|word| {
        let mut groups = word.split(',');
        let first = groups.next().unwrap_or_default();
        let rest_of_three = groups.clone().all(|group| group.len() == 3);
        let digits = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
        digits && rest_of_three && (first.len() <= 3 || groups.next().is_none())
    });
    plain.filter_map(|word| word.replace(',', "").parse().ok()).filter(|number| *number >= LEAST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_part_of_something_else_do_not_count() {
        let text = "gpt-4-1106 (req_839201, v1.1700): 200,000 tokens; you sent 210000, 12 of them 1000,2000. At 4096.";
        assert_eq!(numbers(text), [200_000, 210_000, 4096]);
    }
}
