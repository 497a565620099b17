//! What the simulator counts as a token: a word with the space before it, a long word in parts.

/// The most characters of a word in one token.
pub const WORD: usize = 8;
/// The same for tool arguments: short, so that they come in several fragments.
pub const FRAGMENT: usize = 5;

/// Cuts text into tokens, each with at most `longest` characters beside its leading white space.
/// Joined again they are the text.
pub fn pieces(text: &str, longest: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut piece = String::new();
    let mut letters = 0;
    for letter in text.chars() {
        let new_word = letter.is_whitespace() && letters > 0;
        if new_word || letters == longest {
            all.push(std::mem::take(&mut piece));
            letters = 0;
        }
        piece.push(letter);
        letters += usize::from(!letter.is_whitespace());
    }
    if !piece.is_empty() {
        all.push(piece);
    }
    all
}

/// The tokens of a prompt with so many characters: about four characters each, at least one token.
pub fn estimate(characters: usize) -> u64 {
    (characters.div_ceil(4) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_a_word_with_its_space() {
        assert_eq!(pieces("You asked:  why\n", WORD), ["You", " asked:", "  why", "\n"]);
        assert_eq!(pieces("", WORD), Vec::<String>::new());
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let text = "Überraschungsgäste 你好世界你好世界你好 😀😀";
        let all = pieces(text, WORD);
        assert_eq!(all[0], "Überrasc");
        assert!(all.iter().all(|piece| piece.trim().chars().count() <= WORD));
        assert_eq!(all.concat(), text);
    }

    #[test]
    fn a_prompt_has_at_least_one_token() {
        assert_eq!([estimate(0), estimate(4), estimate(5)], [1, 1, 2]);
    }
}
