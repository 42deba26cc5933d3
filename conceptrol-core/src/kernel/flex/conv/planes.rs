use std::ops::Range;

use super::ConvShape;
use crate::kernel::flex::scalar::Scalar;

/// The part of an image around some output pixels, padded with zeros and laid out such that what a weight meets at these pixels is
/// one run of numbers.
///
/// For that, rows of the output are thought to continue by as much as the kernel reaches beyond them, to a length of
/// [`pitch`](ConvShape::pitch); and the image is split by the remainders of row and column to the stride.
pub(super) struct Planes<'a, E> {
    shape: ConvShape,
    /// First of the pixels.
    first: usize,
    /// Numbers of a plane, from the first pixel to the last one that any weight meets.
    plane: usize,
    channels: Range<usize>,
    /// `[channel][row remainder][column remainder][plane]`
    numbers: &'a mut Vec<E>,
}

impl ConvShape {
    /// Distance between rows of the output in [`Planes`].
    pub(super) fn pitch(&self) -> usize {
        self.output[1] + self.reach(1)
    }

    /// Rows or columns of a plane that the kernel reaches beyond the first.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) / self.stride
    }

    /// Planes that one channel is split into, an axis.
    fn remainders(&self) -> [usize; 2] {
        self.kernel.map(|length| length.min(self.stride))
    }
}

impl<'a, E: Scalar> Planes<'a, E> {
    /// Room for what is around `count` pixels (rows [`pitch`](ConvShape::pitch) apart) from `first` on.
    pub(super) fn new(
        shape: ConvShape,
        first: usize,
        count: usize,
        numbers: &'a mut Vec<E>,
    ) -> Self {
        Self {
            shape,
            first,
            plane: count + shape.reach(0) * shape.pitch() + shape.reach(1),
            channels: 0..0,
            numbers,
        }
    }

    /// Takes the channels that the weights `taps` (of `[c_in, kernel height, kernel width]`) meet from the image `x`.
    #[inline(always)]
    pub(super) fn fill(&mut self, x: &[E], taps: Range<usize>) {
        let (shape, pitch) = (self.shape, self.shape.pitch());
        let [height, width] = shape.input;
        let kernel = shape.kernel[0] * shape.kernel[1];
        self.channels = taps.start / kernel..taps.end.div_ceil(kernel);
        let [y_remainders, x_remainders] = shape.remainders();
        let planes = self.channels.len() * y_remainders * x_remainders;
        self.numbers.resize(planes * self.plane, E::narrow(0.0));
        for (index, plane) in self.numbers.chunks_exact_mut(self.plane).enumerate() {
            let (channel, remainder) = (
                self.channels.start + index / (y_remainders * x_remainders),
                index % (y_remainders * x_remainders),
            );
            let (y, x_remainder) = (remainder / x_remainders, remainder % x_remainders);
            let image = &x[channel * height * width..][..height * width];
            let mut at = 0;
            while at < self.plane {
                let (row, column) = ((self.first + at) / pitch, (self.first + at) % pitch);
                let run = (pitch - column).min(self.plane - at);
                let y = (row * shape.stride + y).wrapping_sub(shape.before[0]);
                let from = if y < height {
                    &image[y * width..][..width]
                } else {
                    &[]
                };
                let x = column * shape.stride + x_remainder; // in padded coordinates
                copy_padded(
                    from,
                    x,
                    shape.stride,
                    shape.before[1],
                    &mut plane[at..at + run],
                );
                at += run;
            }
        }
    }

    /// What the weight `tap` meets at the pixels and beyond.
    #[inline(always)]
    pub(super) fn run(&self, tap: usize) -> &[E] {
        let shape = self.shape;
        let kernel = shape.kernel[0] * shape.kernel[1];
        let (channel, offset) = (tap / kernel - self.channels.start, tap % kernel);
        let (y, x) = (offset / shape.kernel[1], offset % shape.kernel[1]);
        let [y_remainders, x_remainders] = shape.remainders();
        let plane = (channel * y_remainders + y % shape.stride) * x_remainders + x % shape.stride;
        let shift = y / shape.stride * shape.pitch() + x / shape.stride;
        &self.numbers[plane * self.plane + shift..]
    }
}

/// `to[i] = from[x + i * stride - before]`, zero outside.
#[inline(always)]
fn copy_padded<E: Scalar>(from: &[E], x: usize, stride: usize, before: usize, to: &mut [E]) {
    let zero = E::narrow(0.0);
    if stride == 1 {
        let (outside, to) = to.split_at_mut(before.saturating_sub(x).min(to.len()));
        outside.fill(zero);
        let from = from.get(x.saturating_sub(before)..).unwrap_or_default();
        let inside = from.len().min(to.len());
        to[..inside].copy_from_slice(&from[..inside]);
        to[inside..].fill(zero);
    } else {
        for (i, to) in to.iter_mut().enumerate() {
            let at = (x + i * stride).wrapping_sub(before);
            *to = from.get(at).copied().unwrap_or(zero);
        }
    }
}
