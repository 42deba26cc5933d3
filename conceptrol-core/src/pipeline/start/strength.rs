//! Where in the schedule a strength begins.

use crate::pipeline::{Family, PipelineError, Request, Start};

/// The steps that are left out at the start: all if the picture stays as it is, none without a picture.
pub(in crate::pipeline) fn begin<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<usize, PipelineError> {
    let Some(start) = &request.start else {
        return Ok(request.scheduler_options.begin_at);
    };
    let profile = family.profile();
    let steps = request.steps.unwrap_or(profile.defaults.steps);
    let strength = start.resolved_strength();
    if request.scheduler_options.begin_at != 0 {
        let (name, at) = ("the step to begin at", request.scheduler_options.begin_at);
        let expected = "0: the strength says where a picture begins";
        return Err(PipelineError::bad_request(name, at, expected));
    }
    let left_out = left_out(steps, strength, profile.scheduler.is_flow_matching());
    if left_out < steps || strength == 0.0 {
        return Ok(left_out);
    }
    let expected = format!(
        "0, or enough for one of {steps} steps, from {}",
        least(steps)
    );
    Err(PipelineError::bad_request(
        "the strength",
        strength,
        expected,
    ))
}

impl Start {
    /// Steps of `steps` that are left out at the start at this strength, in a model of flow matching or of diffusion; as
    /// diffusers' pipelines count.
    pub fn left_out(&self, steps: usize, flow_matching: bool) -> usize {
        left_out(steps, self.resolved_strength(), flow_matching)
    }
}

/// As diffusers' pipelines count: those of diffusion round the steps that are run down, those of flow matching the steps that
/// are left out. Both in double precision.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of steps, rounded towards zero as there"
)]
fn left_out(steps: usize, strength: f64, flow_matching: bool) -> usize {
    let all = steps as f64;
    let run = (all * strength).min(all);
    if flow_matching {
        (all - run) as usize
    } else {
        steps - run as usize
    }
}

/// The least strength that runs a step of a diffusion.
#[expect(clippy::cast_precision_loss, reason = "numbers of steps")]
fn least(steps: usize) -> f64 {
    1.0 / steps.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::left_out;

    #[test]
    fn diffusion_rounds_what_is_run_down() {
        for (steps, strength, first) in [
            (10, 0.6, 4),
            (10, 0.7, 3),
            (50, 0.8, 10),
            (8, 0.8, 2),
            (50, 0.01, 50),
            (3, 1.0, 0),
            (4, 0.0, 4),
            // 0.29 x 100 is 28.999999999999996
            (100, 0.29, 72),
        ] {
            assert_eq!(
                left_out(steps, strength, false),
                first,
                "{steps} at {strength}"
            );
        }
    }

    #[test]
    fn flow_matching_rounds_what_is_left_out_down() {
        for (steps, strength, first) in [
            (4, 0.05, 3),
            (5, 0.6, 2),
            (5, 0.8, 1),
            (20, 0.55, 9),
            (7, 0.3, 4),
            (7, 0.85, 1),
            (9, 1.0, 0),
            (9, 0.0, 9),
        ] {
            assert_eq!(
                left_out(steps, strength, true),
                first,
                "{steps} at {strength}"
            );
        }
    }
}
