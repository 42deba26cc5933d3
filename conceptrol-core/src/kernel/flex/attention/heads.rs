/// Rows of a `[batch, heads, len, dim]` tensor of any strides whose last axis is contiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads<'a, E> {
    pub(crate) data: &'a [E],
    pub(crate) offset: usize,
    /// Of batch, heads and rows.
    pub(crate) strides: [usize; 3],
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    pub(crate) len: usize,
    pub(crate) dim: usize,
}

impl<'a, E> Heads<'a, E> {
    #[inline(always)]
    pub(crate) fn row(&self, batch: usize, head: usize, row: usize) -> &'a [E] {
        let [b, h, r] = self.strides;
        let start = self.offset + batch * b + head * h + row * r;
        &self.data[start..start + self.dim]
    }
}
