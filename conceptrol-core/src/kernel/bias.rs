use std::ops::Range;

use burn::tensor::{FloatDType, Tensor, TensorData};

/// An additive bias on attention logits that is constant over ranges of keys: `bias[b, q, k] = sum of rows[b, i, q] over the
/// ranges i that contain k`. All heads share it.
///
/// Joint attention over text, latents and conditions needs no other bias: image conditions are weighted per latent row, and
/// blocked per text row. Kept in this form it costs `ranges * q_len` numbers where a dense bias costs `q_len * k_len`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::{LogitBias, attention};
///
/// let device = Device::flex();
/// let [q, k] = [1, 3].map(|len| Tensor::<4>::zeros([1, 1, len, 8], &device));
/// let v = Tensor::<4>::from_data([[[[1.0], [2.0], [6.0]]]], &device);
/// // Twice the weight for the last two keys.
/// let rows = Tensor::<3>::full([1, 1, 1], 2.0f32.ln(), &device);
/// let out = attention(q, k, v, Some(&LogitBias::new(vec![1..3], rows)));
/// assert!((out.into_scalar::<f32>() - (1.0 + 2.0 * 2.0 + 2.0 * 6.0) / 5.0).abs() < 1e-5);
/// ```
#[derive(Clone, Debug)]
pub struct LogitBias {
    keys: Vec<Range<usize>>,
    rows: Tensor<3>,
}

impl LogitBias {
    /// A row value that removes its key range from the softmax, and stays finite: `exp(BLOCKED)` is zero.
    ///
    /// A row whose every key is blocked is not meaningful: it attends to all of them alike.
    pub const BLOCKED: f32 = -1e7;

    /// A bias of `rows[.., i, ..]` on the keys in `keys[i]`.
    ///
    /// # Shapes
    /// - rows: `[batch, ranges, q_len]`, natural logarithm, finite; `batch` may be 1
    ///
    /// # Panics
    /// If the number of ranges and rows differ, or a range is reversed.
    pub fn new(keys: Vec<Range<usize>>, rows: Tensor<3>) -> Self {
        let [_, ranges, _] = rows.dims();
        assert_eq!(
            keys.len(),
            ranges,
            "{} key ranges but {ranges} rows of bias",
            keys.len()
        );
        assert!(
            keys.iter().all(|keys| keys.start <= keys.end),
            "reversed key range in {keys:?}"
        );
        Self { keys, rows }
    }

    /// The sum of two biases, on ranges that do not overlap. Where only one of them has a value it stays what it is, to the bit.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use conceptrol_core::kernel::LogitBias;
    ///
    /// let bias = |keys, value| LogitBias::new(vec![keys], Tensor::full([1, 1, 1], value, &Device::flex()));
    /// let sum = bias(0..3, 1.0).merged(bias(2..4, 0.5));
    /// assert_eq!(sum.keys(), [0..2, 2..3, 3..4]);
    /// assert_eq!(sum.rows().to_data().try_to_vec::<f32>().unwrap(), [1.0, 1.5, 0.5]);
    /// ```
    ///
    /// # Panics
    /// If they are for different numbers of queries, or for batches of different sizes neither of which is 1.
    pub fn merged(self, other: Self) -> Self {
        let ([batch, _, q_len], [other_batch, _, other_len]) =
            (self.rows.dims(), other.rows.dims());
        assert_eq!(
            q_len, other_len,
            "biases on {q_len} and {other_len} queries"
        );
        let batch = batch.max(other_batch);
        let terms = || [&self, &other].into_iter().flat_map(Self::terms);
        let mut cuts: Vec<usize> = terms()
            .flat_map(|(keys, _)| [keys.start, keys.end])
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut keys = Vec::new();
        let mut rows = Vec::new();
        for cut in cuts.windows(2) {
            let covers = |keys: &Range<usize>| keys.start <= cut[0] && cut[1] <= keys.end;
            let here = terms().filter(|(keys, _)| covers(keys));
            if let Some(sum) = here.map(|(_, row)| row).reduce(|a, b| a + b) {
                keys.push(cut[0]..cut[1]);
                rows.push(sum.expand([batch, 1, q_len]));
            }
        }
        if keys.is_empty() {
            return self;
        }
        Self::new(keys, Tensor::cat(rows, 1))
    }

    /// Each range with its rows, `[batch, 1, q_len]` in `f32`.
    fn terms(&self) -> impl Iterator<Item = (Range<usize>, Tensor<3>)> {
        let rows = self.rows.clone().cast(FloatDType::F32);
        self.keys
            .iter()
            .enumerate()
            .map(move |(i, keys)| (keys.clone(), rows.clone().narrow(1, i, 1)))
    }

    /// The biased ranges of keys.
    pub fn keys(&self) -> &[Range<usize>] {
        &self.keys
    }

    /// The value of each range for each query row.
    ///
    /// # Shapes
    /// - output: `[batch, ranges, q_len]`
    pub fn rows(&self) -> &Tensor<3> {
        &self.rows
    }

    /// Panics unless the bias fits queries and keys of these sizes.
    pub(crate) fn check(&self, batch: usize, q_len: usize, k_len: usize) {
        let [rows, _, len] = self.rows.dims();
        assert!(
            rows == batch || rows == 1,
            "bias of batch {rows} on queries of batch {batch}"
        );
        assert_eq!(len, q_len, "bias of {len} rows on {q_len} queries");
        for keys in &self.keys {
            assert!(
                keys.end <= k_len,
                "key range {keys:?} of the bias ends beyond {k_len} keys"
            );
        }
    }

    /// The rows in `f32`, expanded to the batch of `q`.
    ///
    /// # Shapes
    /// - q: `[batch, heads, q_len, head_dim]`
    /// - output: `[batch, ranges, q_len]`
    pub(crate) fn rows_on(&self, q: &Tensor<4>) -> Tensor<3> {
        let [batch, _, q_len, _] = q.dims();
        let [_, ranges, _] = self.rows.dims();
        self.rows
            .clone()
            .cast(FloatDType::F32)
            .expand([batch, ranges, q_len])
    }

    /// One where a key is in a range.
    ///
    /// # Shapes
    /// - k: `[batch, heads, k_len, head_dim]`
    /// - output: `[k_len, ranges]`, in the dtype of `k`
    pub(crate) fn indicators(&self, k: &Tensor<4>) -> Tensor<2> {
        let (k_len, ranges) = (k.dims()[2], self.keys.len());
        let mut ones = vec![0.0f32; k_len * ranges];
        for (range, keys) in self.keys.iter().enumerate() {
            for key in keys.clone() {
                ones[key * ranges + range] = 1.0;
            }
        }
        Tensor::from_data(
            TensorData::new(ones, [k_len, ranges]),
            (&k.device(), k.dtype()),
        )
    }
}
