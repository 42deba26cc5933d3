/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    pub(crate) batch: usize,
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    /// Height and width of the input, the kernel and the output.
    pub(crate) input: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) output: [usize; 2],
    pub(crate) stride: usize,
    /// Zeros before the first row and column.
    pub(crate) before: [usize; 2],
}

impl ConvShape {
    /// Inner dimension of the product: weights of one output channel.
    pub(crate) fn depth(&self) -> usize {
        self.c_in * self.kernel[0] * self.kernel[1]
    }

    /// Pixels of one output channel.
    pub(crate) fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// The same convolution of images one row high, where neighbours do not matter: longer runs of pixels.
    pub(crate) fn flattened(self) -> Self {
        if self.kernel != [1, 1] || self.stride != 1 || self.input != self.output {
            return self;
        }
        let row = [1, self.pixels()];
        Self {
            input: row,
            output: row,
            ..self
        }
    }

    /// Whether minimal filtering pays: its transforms cost as much as a few channels.
    pub(crate) fn suits_winograd(&self) -> bool {
        self.kernel == [3, 3] && self.stride == 1 && self.c_in >= 32 && self.c_out >= 32
    }

    /// Whether tiles of 4x4 pixels pay: small images would leave most of them empty, and few channels would not be worth their
    /// transforms. It is a matter of one image, so that an image has the same bits in any batch.
    pub(crate) fn suits_large_tiles(&self) -> bool {
        self.c_in >= 128 && self.c_out >= 32 && self.output.iter().all(|length| *length >= 12)
    }
}
