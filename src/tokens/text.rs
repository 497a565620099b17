//! Tokens of a text, from classes of characters alone.
//!
//! Tokenizers of the large models first cut a text into words, numbers of three digits, runs of punctuation and
//! runs of blanks, and most of these are one token each. So runs are counted here, and each has a price. The
//! prices are fitted to o200k on the samples in `tests/tokens/`, whose real counts stand beside them.

/// Tokens in a text.
pub fn estimate(text: &str) -> u64 {
    let mut estimator = Estimator::default();
    estimator.push(text);
    estimator.tokens()
}

/// An estimate of a text that arrives in pieces: any cut gives the same figure.
///
/// An automaton over bytes: where it stands says which run is open and how far, and each step has its price. All of it
/// is one table, so that a byte costs two look-ups whatever it is.
#[derive(Debug, Default, Clone, Copy)]
pub struct Estimator {
    /// Hundredths of a token.
    hundredths: u64,
    at: State,
}

/// The kind of the last character, and how long its run is as far as that matters.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct State(u8);

impl State {
    const fn new(kind: Kind, length: u8) -> State {
        State((kind as u8) << 4 | length)
    }
}

/// What a byte says of the character that it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Before the first character.
    Nothing,
    Small,
    Capital,
    /// A Latin letter outside of ASCII.
    Marked,
    Digit,
    Space,
    LineEnd,
    Punctuation,
    /// Greek, Cyrillic, Hebrew, Arabic and their neighbours.
    Letter,
    /// Chinese, Japanese, Korean and what else takes three bytes.
    Wide,
    /// Emoji and what else lies outside the basic plane.
    Astral,
    /// No character's first byte.
    Inside,
}

impl Kind {
    const ALL: [Kind; 12] = [
        Kind::Nothing,
        Kind::Small,
        Kind::Capital,
        Kind::Marked,
        Kind::Digit,
        Kind::Space,
        Kind::LineEnd,
        Kind::Punctuation,
        Kind::Letter,
        Kind::Wide,
        Kind::Astral,
        Kind::Inside,
    ];

    const fn of(byte: u8) -> Kind {
        match byte {
            b'a'..=b'z' => Kind::Small,
            b'A'..=b'Z' => Kind::Capital,
            b'0'..=b'9' => Kind::Digit,
            b' ' => Kind::Space,
            b'\n' | b'\r' | b'\t' => Kind::LineEnd,
            0..=0x7f => Kind::Punctuation,
            0x80..=0xbf => Kind::Inside,
            0xc0..=0xc9 => Kind::Marked,
            0xca..=0xdf => Kind::Letter,
            0xe0..=0xef => Kind::Wide,
            0xf0..=0xff => Kind::Astral,
        }
    }

    const fn is_word(self) -> bool {
        matches!(self, Kind::Small | Kind::Capital | Kind::Marked)
    }

    /// Whether a character goes on with the run of the one before it.
    const fn continues(self, before: Kind) -> bool {
        // A capital after a small letter begins a new word.
        let new_word = matches!((before, self), (Kind::Small, Kind::Capital));
        (self.is_word() && before.is_word() && !new_word) || self as u8 == before as u8
    }

    /// What a run of this length costs, in hundredths of a token.
    const fn price(self, length: u64) -> u64 {
        match (self, length) {
            (Kind::Nothing | Kind::Inside, _) | (_, 0) => 0,
            (Kind::Small | Kind::Capital | Kind::Marked, _) => 100 + length.saturating_sub(9) * 20,
            (Kind::Digit, _) => length.div_ceil(3) * 100,
            // One space belongs to the word that follows.
            (Kind::Space, 1) => 0,
            (Kind::Space, _) => 50,
            (Kind::LineEnd, _) => 60,
            (Kind::Punctuation, _) => 50 + length * 30,
            (Kind::Letter, _) => 20 + length * 37,
            (Kind::Wide, _) => length * 85,
            (Kind::Astral, _) => length * 200,
        }
    }

    /// What the character costs that makes a run so long.
    const fn step(self, length: u64) -> u64 {
        // Letters with marks tear words apart.
        let mark = if matches!(self, Kind::Marked) { 100 } else { 0 };
        self.price(length) - self.price(length - 1) + mark
    }

    /// A run that is one longer, or one of which every further character costs the same.
    const fn longer(self, length: u8) -> u8 {
        match (self, length) {
            (Kind::Digit, 3) => 1,
            (_, LONGEST) => LONGEST,
            _ => length + 1,
        }
    }
}

/// From here on the length of a run changes nothing.
const LONGEST: u8 = 10;

/// Where each byte leads from each state.
static STEPS: [[Step; 16]; 256] = steps();
static KINDS: [u8; 256] = kinds();

/// A state, and the price of getting there in the upper byte.
type Step = u16;

const fn kinds() -> [u8; 256] {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = Kind::of(byte as u8) as u8;
        byte += 1;
    }
    kinds
}

const fn steps() -> [[Step; 16]; 256] {
    let mut steps = [[0; 16]; 256];
    let mut from = 0;
    while from < Kind::ALL.len() {
        let mut length = 0;
        while length <= LONGEST {
            let state = State::new(Kind::ALL[from], length);
            let mut to = 0;
            while to < Kind::ALL.len() {
                steps[state.0 as usize][to] = step(Kind::ALL[from], length, Kind::ALL[to]);
                to += 1;
            }
            length += 1;
        }
        from += 1;
    }
    steps
}

const fn step(before: Kind, length: u8, kind: Kind) -> Step {
    if matches!(kind, Kind::Inside) {
        return State::new(before, length).0 as Step;
    }
    let length = if kind.continues(before) { kind.longer(length) } else { 1 };
    let price = kind.step(length as u64);
    assert!(price < 256);
    (price as Step) << 8 | State::new(kind, length).0 as Step
}

/// How many parts of a long text are counted side by side: each byte waits for the one before it, and a core can do
/// more in that time.
const LANES: usize = 4;
/// Bytes from which that is worth it.
const LONG: usize = 256;

impl Estimator {
    /// Takes in the next piece.
    pub fn push(&mut self, text: &str) {
        let Some(parts) = parts(text.as_bytes()) else { return self.push_bytes(text.as_bytes()) };
        let mut lanes = [*self; LANES];
        for lane in 1..LANES {
            // How long the run before it was does not matter to a run that begins.
            let before = parts[lane - 1].last().map_or(Kind::Nothing, |byte| Kind::of(*byte));
            lanes[lane] = Estimator { hundredths: 0, at: State::new(before, 1) };
        }
        let together = parts.iter().map(|part| part.len()).min().unwrap_or_default();
        let [first, second, third, fourth] = parts.map(|part| &part[..together]);
        for (((first, second), third), fourth) in first.iter().zip(second).zip(third).zip(fourth) {
            lanes[0].take(*first);
            lanes[1].take(*second);
            lanes[2].take(*third);
            lanes[3].take(*fourth);
        }
        for (lane, part) in lanes.iter_mut().zip(parts) {
            lane.push_bytes(&part[together..]);
        }
        let hundredths = lanes.iter().map(|lane| lane.hundredths).sum();
        *self = Estimator { hundredths, at: lanes[LANES - 1].at };
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.take(*byte));
    }

    fn take(&mut self, byte: u8) {
        let step = STEPS[usize::from(self.at.0)][usize::from(KINDS[usize::from(byte)] & 15)];
        self.hundredths += u64::from(step >> 8);
        self.at = State(step as u8);
    }

    /// Tokens so far.
    pub fn tokens(&self) -> u64 {
        self.hundredths.div_ceil(100)
    }
}

/// Cuts a long text into parts of about the same length, each of which begins a run. `None` if it is short, or its runs
/// are long.
fn parts(bytes: &[u8]) -> Option<[&[u8]; LANES]> {
    if bytes.len() < LONG {
        return None;
    }
    let mut parts = [bytes; LANES];
    for left in (2..=LANES).rev() {
        let rest = parts[LANES - left];
        let about = rest.len() / left;
        let begins = |pair: &[u8]| pair.is_ascii() && !Kind::of(pair[1]).continues(Kind::of(pair[0]));
        let at = about + rest[about - 1..].windows(2).take(about / 2).position(begins)?;
        let (part, after) = rest.split_at(at);
        parts[LANES - left] = part;
        parts[LANES - left + 1..].fill(after);
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_nothing_and_more_is_more() {
        assert_eq!(estimate(""), 0);
        assert!(estimate("hello world hello world") > estimate("hello world"));
    }

    #[test]
    fn a_long_text_counts_as_much_as_its_characters_one_by_one() {
        let words = "Für 12345 camelCaseWords, a  b:\n\n    {\"a\": \"你好 😀😀\"}  Привет internationalisation ";
        for text in [words.repeat(20), "x".repeat(5000), "好".repeat(500), "1234567 ".repeat(200)] {
            for from in (0..200).filter(|at| text.is_char_boundary(*at)) {
                let mut by_one = Estimator::default();
                text[from..].char_indices().for_each(|(at, c)| by_one.push(&text[from + at..][..c.len_utf8()]));
                assert_eq!(estimate(&text[from..]), by_one.tokens());
            }
        }
    }

    /// The prices as they are told, on runs of every kind.
    #[test]
    fn runs_cost_what_they_are_priced_at() {
        for (text, hundredths) in [
            ("word", 100),
            ("internationalisation", 100 + 11 * 20),
            ("camelCase", 200),
            ("für", 200),
            ("1234567", 300),
            (" ", 0),
            ("     ", 50),
            ("\n\n\t", 60),
            ("();", 140),
            ("Привет", 20 + 6 * 37),
            ("你好", 170),
            ("😀😀", 400),
        ] {
            let mut estimator = Estimator::default();
            estimator.push(text);
            assert_eq!(estimator.hundredths, hundredths, "{text:?}");
        }
    }

    #[test]
    fn any_cut_gives_the_same_figure() {
        let text = "Für 12345 camelCaseWords:\n\n    {\"a\": \"你好 😀😀\"}  Привет";
        for (cut, _) in text.char_indices() {
            let mut estimator = Estimator::default();
            estimator.push(&text[..cut]);
            estimator.push(&text[cut..]);
            assert_eq!(estimator.tokens(), estimate(text), "cut at {cut}");
        }
    }
}
