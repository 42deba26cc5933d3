/// Candidates that are compared at most: names in a file are as many and as long as somebody likes.
const COMPARED: usize = 4096;

/// The candidate nearest to `name` by edit distance, if it is near at all.
pub(in crate::models) fn closest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // a distance is at least the difference of the lengths
    let near = |candidate: &&str| candidate.len().abs_diff(name.len()) * 3 <= name.len();
    candidates
        .filter(near)
        .take(COMPARED)
        .map(|candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance * 3 <= name.len())
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes, with one row of memory.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_wins_and_far_ones_are_no_hint() {
        let names = ["conv_in.weight", "conv_out.weight", "time.bias"];
        assert_eq!(
            closest("conv_int.weight", names.into_iter()),
            Some("conv_in.weight")
        );
        assert_eq!(closest("zzzz", names.into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
