use std::ops::Range;

use crate::kernel::LogitBias;

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

    /// The bias of one query row on the keys `from..from + scores.len()`, in units of `1 / log2(e)`: a part that all of them take is
    /// given back, the rest added to their scores, which are still to be multiplied by `scale`.
    #[inline(always)]
    pub(crate) fn apply(
        &self,
        batch: usize,
        row: usize,
        from: usize,
        scale: f32,
        scores: &mut [f32],
    ) -> f32 {
        let to = from + scores.len();
        if let Some(ranges) = self.covering(from..to) {
            return self.sum(batch, row, ranges) * std::f32::consts::LOG2_E;
        }
        for (run, ranges) in &self.runs {
            let (start, end) = (run.start.max(from), run.end.min(to));
            if start >= end || ranges.is_empty() {
                continue;
            }
            let bias = self.sum(batch, row, ranges) * (std::f32::consts::LOG2_E / scale);
            for score in &mut scores[start - from..end - from] {
                *score += bias;
            }
        }
        0.0
    }

    /// Whether every query of `rows` has all of `keys` blocked.
    #[inline(always)]
    pub(crate) fn blocks(&self, batch: usize, mut rows: Range<usize>, keys: Range<usize>) -> bool {
        self.covering(keys).is_some_and(|ranges| {
            rows.all(|row| self.sum(batch, row, ranges) <= LogitBias::BLOCKED)
        })
    }

    /// The ranges of the run that holds all of `keys`, if one does.
    #[inline(always)]
    fn covering(&self, keys: Range<usize>) -> Option<&[usize]> {
        let holds = |run: &Range<usize>| run.start <= keys.start && keys.end <= run.end;
        let run = self.runs.iter().find(|(run, _)| holds(run));
        run.map(|(_, ranges)| ranges.as_slice())
    }

    /// The bias of a query row on keys in all of `ranges`.
    #[inline(always)]
    fn sum(&self, batch: usize, row: usize, ranges: &[usize]) -> f32 {
        let base = batch * self.batch_stride + row;
        ranges
            .iter()
            .map(|range| self.rows[base + range * self.q_len])
            .sum()
    }
}
