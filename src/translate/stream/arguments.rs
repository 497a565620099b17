//! Where the arguments of a streamed call end, found without reading them again with every fragment.

/// What has been seen of a JSON object that arrives in pieces. Only its end is looked for: whether it is
/// valid JSON is checked when it is whole.
#[derive(Debug, Default)]
pub(super) struct ObjectEnd {
    depth: usize,
    in_string: bool,
    escaped: bool,
    ended: bool,
}

impl ObjectEnd {
    /// Takes in the next piece.
    pub(super) fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.ended |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Whether the outermost bracket has been closed.
    pub(super) fn is_reached(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_last_bracket_wherever_the_text_is_cut() {
        let text = r#" {"a":"}\"}","b":[{}],"c":"\\"}"#;
        for cut in 0..text.len() {
            let mut end = ObjectEnd::default();
            end.push(&text[..cut]);
            assert!(!end.is_reached(), "at {cut}");
            end.push(&text[cut..]);
            assert!(end.is_reached(), "at {cut}");
        }
    }
}
