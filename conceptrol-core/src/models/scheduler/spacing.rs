//! Which training timesteps a run visits: the three spacings of table 2 of arXiv 2305.08891, in numpy's arithmetic.

use crate::models::config::Choice;

/// How the timesteps of a run spread over the training schedule (`timestep_spacing`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Spacing {
    /// Evenly from the last to the first.
    Linspace,
    /// Multiples of a whole stride from the first, moved by `steps_offset`.
    Leading,
    /// Multiples of an exact stride from the last.
    Trailing,
}

impl Choice for Spacing {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("linspace", Self::Linspace),
        ("leading", Self::Leading),
        ("trailing", Self::Trailing),
    ];
}

impl Spacing {
    /// Whole timesteps, descending, as DDIM and PNDM space them.
    pub(super) fn whole(self, train: usize, steps: usize, offset: usize) -> Vec<i64> {
        match self {
            Self::Linspace => round(linspace(0.0, (train - 1) as f64, steps).into_iter().rev()),
            Self::Leading => leading(train / steps, steps, offset),
            Self::Trailing => trailing(train, train, steps),
        }
    }

    /// Timesteps that may lie between whole ones, descending, as the Euler schedulers space them.
    pub(super) fn fractional(self, train: usize, steps: usize, offset: usize) -> Vec<f64> {
        match self {
            // numpy rounds to single precision here, the others are whole.
            Self::Linspace => {
                let timesteps = linspace(0.0, (train - 1) as f64, steps).into_iter().rev();
                timesteps
                    .map(|timestep| f64::from(timestep as f32))
                    .collect()
            }
            spacing => spacing
                .whole(train, steps, offset)
                .into_iter()
                .map(|timestep| timestep as f64)
                .collect(),
        }
    }

    /// Whole timesteps, descending, as the multistep solvers space them: `steps` intervals without their lower end,
    /// starting below `last` where the schedule is clipped.
    pub(super) fn intervals(
        self,
        last: usize,
        train: usize,
        steps: usize,
        offset: usize,
    ) -> Vec<i64> {
        match self {
            Self::Linspace => {
                let timesteps = linspace(0.0, last.saturating_sub(1) as f64, steps + 1);
                round(timesteps.into_iter().skip(1).rev())
            }
            Self::Leading => {
                let mut timesteps = leading(last / (steps + 1), steps + 1, offset);
                timesteps.truncate(steps);
                timesteps
            }
            Self::Trailing => trailing(last, train, steps),
        }
    }
}

/// `numpy.linspace`.
pub(super) fn linspace(start: f64, end: f64, count: usize) -> Vec<f64> {
    let stride = if count > 1 {
        (end - start) / (count - 1) as f64
    } else {
        0.0
    };
    let point = |i: usize| {
        if i > 0 && i + 1 == count {
            end
        } else {
            i as f64 * stride + start
        }
    };
    (0..count).map(point).collect()
}

fn leading(stride: usize, steps: usize, offset: usize) -> Vec<i64> {
    (0..steps)
        .rev()
        .map(|i| (i * stride + offset) as i64)
        .collect()
}

/// `numpy.arange(last, 0, -train / steps)`, rounded, minus one.
///
/// Parity: for 62 of the step counts up to 1000 (61, 103, 121, ...) rounding makes numpy's range one longer, and
/// diffusers then ends at timestep -1, which is not a timestep. It is left out here.
fn trailing(last: usize, train: usize, steps: usize) -> Vec<i64> {
    let (last, stride) = (last as f64, train as f64 / steps as f64);
    let delta = (last - stride) - last;
    let count = (last / stride).ceil() as usize;
    let points = (0..count).map(|i| last + i as f64 * delta);
    round(points)
        .into_iter()
        .map(|timestep| timestep - 1)
        .filter(|timestep| *timestep >= 0)
        .collect()
}

/// To the nearest whole number, halves to even.
fn round(timesteps: impl Iterator<Item = f64>) -> Vec<i64> {
    timesteps
        .map(|timestep| timestep.round_ties_even() as i64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Spacing;

    #[test]
    fn published_examples() {
        assert_eq!(Spacing::Leading.whole(1000, 4, 1), [751, 501, 251, 1]);
        assert_eq!(Spacing::Trailing.whole(1000, 4, 1), [999, 749, 499, 249]);
        assert_eq!(Spacing::Linspace.whole(1000, 4, 1), [999, 666, 333, 0]);
        assert_eq!(
            Spacing::Linspace.intervals(1000, 1000, 4, 1),
            [999, 749, 500, 250]
        );
    }

    #[test]
    fn trailing_has_as_many_timesteps_as_asked_for() {
        for steps in 1..=1000 {
            let timesteps = Spacing::Trailing.whole(1000, steps, 0);
            assert_eq!(timesteps.len(), steps);
            assert!(
                timesteps
                    .iter()
                    .all(|timestep| (0..1000).contains(timestep))
            );
        }
    }
}
