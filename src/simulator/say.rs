//! The words of an answer: what to say to a prompt.

use super::request::Attachment;

const MOST_COUNTED: u32 = 10_000;
/// Characters of the prompt that an answer repeats.
const EXCERPT: usize = 200;
const LONGEST_GREETING: usize = 4;

const SENTENCES: &[&str] = &[
    "This is the simulator speaking, so take it as a sample of what a real model would say. The main point is that \
     every question has a short answer and a long one. The short one is usually enough.",
    "A real model would now think about the details; the simulator only plays its part. There are a few things to \
     weigh here, and each of them matters a little. Start small, look at the result, and go on from there.",
    "Here is a sample answer from the simulator. First, be clear about what you want to know. Second, look at what is \
     already there. Then the next step is often plain to see.",
];

/// The answer to a prompt and what came with it.
pub fn reply(prompt: &str, attachments: &[Attachment], model: &str) -> String {
    let prompt = without_notes(prompt);
    let prompt = prompt.trim();
    if let Some(exact) = verbatim(prompt) {
        return exact.to_owned();
    }
    let seen: Vec<String> = attachments.iter().map(describe).collect();
    if !seen.is_empty() {
        return if prompt.is_empty() { seen.join(" ") } else { format!("{} {}", seen.join(" "), talk(prompt)) };
    }
    count(prompt).or_else(|| sum(prompt)).or_else(|| greeting(prompt, model)).unwrap_or_else(|| talk(prompt))
}

/// What came back from the tools.
pub fn summary<'a>(results: impl Iterator<Item = &'a str>) -> String {
    results.map(|result| format!("The tool said: {}", result.trim())).collect::<Vec<_>>().join("\n")
}

/// The start of a text, for repeating it.
pub fn excerpt(text: &str) -> String {
    let mut start: String = text.chars().take(EXCERPT).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

/// Coding clients put notes in tags before what their user typed; those are not the question.
pub fn without_notes(prompt: &str) -> String {
    const OPEN: &str = "<system-reminder>";
    const CLOSE: &str = "</system-reminder>";
    let mut rest = prompt;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once(OPEN) {
        let Some((_, behind)) = after.split_once(CLOSE) else {
            break;
        };
        kept.push_str(before);
        rest = behind;
    }
    kept.push_str(rest);
    kept
}

/// The words that the prompt wants back unchanged: `repeat: X`, `say X exactly`, `say exactly: X`.
fn verbatim(prompt: &str) -> Option<&str> {
    // Only ASCII letters change, so places in one text are places in the other.
    let lower = prompt.to_ascii_lowercase();
    let line_start = |at: usize| at == 0 || lower.as_bytes().get(at - 1) == Some(&b'\n');
    if let Some((at, word)) = lower.match_indices("repeat:").find(|(at, _)| line_start(*at)) {
        return prompt.get(at + word.len()..).map(str::trim);
    }
    let rest = prompt.get(lower.strip_prefix("please ").map_or(0, |_| "please ".len())..)?;
    let lower = rest.to_ascii_lowercase();
    let words = if lower.starts_with("say exactly") {
        rest.get("say exactly".len()..)?.trim_start_matches(':').trim()
    } else {
        let end = lower.strip_prefix("say ").and_then(|_| lower.rfind(" exactly"))?;
        rest.get("say ".len()..end)?.trim()
    };
    let unquoted = words.strip_prefix('"').and_then(|words| words.strip_suffix('"'));
    Some(unquoted.unwrap_or(words))
}

fn count(prompt: &str) -> Option<String> {
    let lower = prompt.to_lowercase();
    let mut words = lower.split_whitespace().map(bare).skip_while(|word| *word != "count");
    words.find(|word| *word == "to")?;
    let last: u32 = words.next()?.parse().ok()?;
    Some((1..=last.min(MOST_COUNTED)).map(|number| number.to_string()).collect::<Vec<_>>().join(" "))
}

/// The first `NUMBER OPERATOR NUMBER` of the prompt, worked out.
fn sum(prompt: &str) -> Option<String> {
    let mut spaced = prompt.to_owned();
    // A minus or a slash without spaces may be a date, a range or a path.
    for operator in ["+", "*", "×", "÷"] {
        spaced = spaced.replace(operator, &format!(" {operator} "));
    }
    let words: Vec<&str> = spaced.split_whitespace().map(bare).collect();
    words.windows(3).find_map(|three| {
        let [left, operator, right] = three else {
            return None;
        };
        let (a, b): (i64, i64) = (left.parse().ok()?, right.parse().ok()?);
        let (a, b) = (i128::from(a), i128::from(b));
        let (sign, result) = match *operator {
            "+" | "plus" => ("+", (a + b).to_string()),
            "-" | "−" | "minus" => ("-", (a - b).to_string()),
            "*" | "×" | "x" | "times" => ("×", (a * b).to_string()),
            "/" | "÷" if b == 0 => return Some(format!("{a} cannot be divided by 0.")),
            "/" | "÷" if a % b == 0 => ("÷", (a / b).to_string()),
            "/" | "÷" => ("÷", format!("{:.3}", a as f64 / b as f64)),
            _ => return None,
        };
        Some(format!("{a} {sign} {b} = {result}."))
    })
}

fn greeting(prompt: &str, model: &str) -> Option<String> {
    let first = prompt.split_whitespace().next().map(bare)?.to_lowercase();
    let short = prompt.split_whitespace().count() <= LONGEST_GREETING;
    let greets = matches!(first.as_str(), "hello" | "hi" | "hey" | "hallo" | "greetings");
    (short && greets).then(|| format!("Hello! I am {model}, played by the simulator. How can I help you?"))
}

fn talk(prompt: &str) -> String {
    let turn = prompt.bytes().map(usize::from).sum::<usize>() % SENTENCES.len();
    let sentences = SENTENCES.get(turn).copied().unwrap_or_default();
    format!("You asked: \"{}\" {sentences}", excerpt(prompt))
}

fn describe(attachment: &Attachment) -> String {
    match attachment {
        Attachment::File(name) => format!("I got the file {name}."),
        Attachment::Image(url) => match url.strip_prefix("data:").and_then(|data| data.split_once(";base64,")) {
            Some((kind, data)) => {
                let padding = data.bytes().rev().take_while(|byte| *byte == b'=').count();
                format!("I got an image of type {kind}, {} bytes.", (data.len() / 4 * 3).saturating_sub(padding))
            }
            None => format!("I got an image at {url}."),
        },
    }
}

fn bare(word: &str) -> &str {
    word.trim_matches(|letter: char| "\"'`().,;:!?=".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(prompt: &str) -> String {
        reply(prompt, &[], "m")
    }

    #[test]
    fn exact_words_come_back_exactly() {
        assert_eq!(said("repeat: Hello,  World\n\n!"), "Hello,  World\n\n!");
        assert_eq!(said("<system-reminder>Be good.</system-reminder>\n\nRepeat: é"), "é");
        assert_eq!(said("Say blue fish exactly."), "blue fish");
        assert_eq!(said("Please say \"blue\" exactly"), "blue");
        assert_eq!(said("say exactly: 17 + 25"), "17 + 25");
    }

    #[test]
    fn sums_are_worked_out() {
        for (prompt, part) in [
            ("What is 17 + 25?", "= 42."),
            ("17+25", "= 42."),
            ("what is -3 plus 5", "= 2."),
            ("6 x 7 = ?", "= 42."),
            ("10 / 4", "= 2.500."),
            ("1 / 0", "cannot"),
            ("9223372036854775807 * 2", "= 18446744073709551614."),
        ] {
            assert!(said(prompt).contains(part), "{prompt}: {}", said(prompt));
        }
        assert!(said("Is it 2024-05-01 or 1/2?").starts_with("You asked"));
    }

    #[test]
    fn it_counts_greets_and_talks() {
        assert_eq!(said("Count to 5."), "1 2 3 4 5");
        assert_eq!(said("count from 1 to 3"), "1 2 3");
        assert!(said("Hello!").starts_with("Hello!"));
        assert!(said("Why is the sky blue?").contains("Why is the sky blue?"));
        assert!(said("").starts_with("You asked"));
    }

    #[test]
    fn attachments_are_described() {
        let image = |url: &str| [Attachment::Image(url.to_owned())];
        assert_eq!(
            reply("", &image("data:image/png;base64,AAAAAA=="), "m"),
            "I got an image of type image/png, 4 bytes."
        );
        assert!(
            reply("what is it?", &image("https://x/y"), "m").starts_with("I got an image at https://x/y. You asked")
        );
    }
}
