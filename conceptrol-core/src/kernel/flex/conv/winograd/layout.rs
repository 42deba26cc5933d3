use super::scheme::Scheme;

/// Numbers between what would otherwise begin at the same place of memory pages and compete for the same lines of the cache.
pub(super) const APART: usize = 16;

/// How transformed tiles lie: in the order in which products read them, `[strip][run of channels][frequency][panel][channel][nr]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) nr: usize,
    /// Panels of a strip.
    pub(super) panels: usize,
    /// Input channels of a run; the last one may have fewer.
    pub(super) run: usize,
    frequencies: usize,
    runs: usize,
}

impl Layout {
    pub(super) fn of<W: Scheme>(channels: usize, panels: usize, nr: usize) -> Self {
        let run = channels.div_ceil(channels.div_ceil(W::run(channels)));
        Self {
            nr,
            panels,
            run,
            frequencies: W::FREQUENCIES,
            runs: channels.div_ceil(run),
        }
    }

    /// Numbers of a strip.
    pub(super) fn strip(&self) -> usize {
        self.runs * self.frequencies * self.frequency()
    }

    /// Distance between frequencies.
    pub(super) fn frequency(&self) -> usize {
        self.panels * self.block()
    }

    /// Where channels from `channel` on, the first of its run, begin in a strip, for a panel and a frequency.
    #[inline(always)]
    pub(super) fn at(&self, channel: usize, frequency: usize, panel: usize) -> usize {
        let run = channel / self.run * self.frequencies + frequency;
        run * self.frequency() + panel * self.block() + channel % self.run * self.nr
    }

    fn block(&self) -> usize {
        self.run * self.nr + APART
    }
}
