use std::ops::Range;

/// A structured bias, cut into runs of keys that take the same sum of its rows.
#[derive(Debug)]
pub(crate) struct Segments<'a> {
    /// Ends of the runs, ascending, the last one `k_len`; the ranges that contain each run.
    runs: Vec<(Range<usize>, Vec<usize>)>,
    /// `[batch or 1, ranges, q_len]`
    rows: &'a [f32],
    batch_stride: usize,
    q_len: usize,
}

impl<'a> Segments<'a> {
    /// The bias of `rows` (`[rows_batch, keys.len(), q_len]`, contiguous) on the key ranges `keys`.
    pub(crate) fn new(
        keys: &[Range<usize>],
        rows: &'a [f32],
        rows_batch: usize,
        q_len: usize,
        k_len: usize,
    ) -> Self {
        let mut cuts: Vec<usize> = keys
            .iter()
            .flat_map(|keys| [keys.start, keys.end])
            .chain([0, k_len])
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let runs = cuts
            .windows(2)
            .map(|cut| {
                let contains = |keys: &Range<usize>| keys.start <= cut[0] && cut[1] <= keys.end;
                let ranges = (0..keys.len())
                    .filter(|range| contains(&keys[*range]))
                    .collect();
                (cut[0]..cut[1], ranges)
            })
            .collect();
        let batch_stride = if rows_batch == 1 {
            0
        } else {
            keys.len() * q_len
        };
        Self {
            runs,
            rows,
            batch_stride,
            q_len,
        }
    }

    /// Adds the bias, in units of `1 / log2(e)`, to the scores of one query row against the keys `from..from + scores.len()`.
    #[inline(always)]
    pub(crate) fn add(&self, batch: usize, row: usize, from: usize, scores: &mut [f32]) {
        let to = from + scores.len();
        for (run, ranges) in &self.runs {
            let (start, end) = (run.start.max(from), run.end.min(to));
            if start >= end || ranges.is_empty() {
                continue;
            }
            let base = batch * self.batch_stride + row;
            let bias: f32 = ranges
                .iter()
                .map(|range| self.rows[base + range * self.q_len])
                .sum();
            let bias = bias * std::f32::consts::LOG2_E;
            for score in &mut scores[start - from..end - from] {
                *score += bias;
            }
        }
    }
}
