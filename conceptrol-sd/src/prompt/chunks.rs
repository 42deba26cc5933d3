//! Prompts longer than a text encoder's window: which tokens go into which chunk.

use conceptrol_core::Token;

/// Words of as many tokens as this are cut where a chunk ends (ComfyUI).
const LARGE: usize = 8;

/// A token and its weight.
pub(super) type Weighted = (Token, f32);

/// The index of the first token of every chunk of at most `room` tokens, and at last the number of tokens.
///
/// What stands between two spaces stays together, so that a chunk may end early.
pub(super) fn boundaries(tokens: &[Weighted], room: usize) -> Vec<usize> {
    let mut starts = vec![0];
    let mut start = 0;
    for group in groups(tokens) {
        let (mut at, end) = (group.start, group.end);
        while end - start > room {
            // a large word fills the chunk, another begins the next one
            let cut = match end - group.start >= LARGE || at == start {
                true => start + room,
                false => at,
            };
            (start, at) = (cut, cut);
            starts.push(start);
        }
    }
    starts.push(tokens.len());
    starts
}

/// Runs of tokens with nothing between them in the prompt, and of one weight.
fn groups(tokens: &[Weighted]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let begins = |index: &usize| {
        let Some((before, weight)) = index.checked_sub(1).map(|before| &tokens[before]) else {
            return true;
        };
        let (token, own) = &tokens[*index];
        token.bytes.start > before.bytes.end || own.to_bits() != weight.to_bits()
    };
    let starts: Vec<usize> = (0..tokens.len()).filter(begins).collect();
    let ends = starts.iter().copied().skip(1).chain([tokens.len()]);
    let ranges: Vec<_> = starts.iter().copied().zip(ends).collect();
    ranges.into_iter().map(|(start, end)| start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of these many tokens, a space between them.
    fn words(lengths: &[usize]) -> Vec<Weighted> {
        let mut tokens = Vec::new();
        let mut at = 0;
        for length in lengths {
            for piece in 0..*length {
                tokens.push((Token::new(7, "x", at..at + 1, piece == 0), 1.0));
                at += 1;
            }
            at += 1;
        }
        tokens
    }

    #[test]
    fn words_stay_whole_unless_they_are_large() {
        assert_eq!(boundaries(&[], 5), [0, 0]);
        assert_eq!(boundaries(&words(&[1; 5]), 5), [0, 5]);
        assert_eq!(boundaries(&words(&[1; 11]), 5), [0, 5, 10, 11]);
        assert_eq!(boundaries(&words(&[3, 3, 3]), 5), [0, 3, 6, 9]);
        assert_eq!(boundaries(&words(&[2, 9]), 5), [0, 5, 10, 11]);
        assert_eq!(boundaries(&words(&[2, 7]), 5), [0, 2, 7, 9]);
        assert_eq!(boundaries(&words(&[70, 7]), 75), [0, 70, 77]);
        assert_eq!(boundaries(&words(&[70, 8]), 75), [0, 75, 78]);
    }

    #[test]
    fn no_chunk_is_longer_than_its_room_and_no_token_is_lost() {
        for seed in 0..200_usize {
            let lengths: Vec<usize> = (0..40).map(|i| (seed * 31 + i * i * 7) % 12 + 1).collect();
            let tokens = words(&lengths);
            let starts = boundaries(&tokens, 75);
            assert_eq!((starts[0], starts[starts.len() - 1]), (0, tokens.len()));
            let fits = |pair: &[usize]| pair[0] < pair[1] && pair[1] - pair[0] <= 75;
            assert!(starts.windows(2).all(fits), "{starts:?}");
        }
    }
}
