//! Kontext: its tables, and where its reference lies.

use std::error::Error;

use conceptrol_core::{
    models::{
        image::RgbImage,
        scheduler::{SchedulerConfig, SchedulerOptions},
    },
    pipeline::{ImageSize, Start},
};
use conceptrol_flux::{
    Flux,
    kontext::{MAX_AREA, output_size, reference_size},
    latents::{PIXELS_PER_TOKEN, grid_positions, unpack},
    omini::Placement,
    pipeline::Encoded,
};
use serde_json::Value;

use crate::{
    Outcome,
    case::{Array, Arrays, Case},
    report::Report,
};

/// Sizes of references and pictures, and the noise levels for pictures of many sizes.
pub(super) fn tables(case: &Case, report: &mut Report) -> Outcome {
    let expected = case.expected_json()?;
    let rows = |name: &str| expected[name].as_array().cloned().unwrap_or_default();
    for row in rows("kontext_reference") {
        let picture = size(&row, "")?;
        same_size(
            report,
            "kontext_reference",
            picture,
            reference_size(picture, PIXELS_PER_TOKEN),
            size(&row, "chosen_")?,
        );
    }
    for row in rows("kontext_output") {
        let asked = size(&row, "")?;
        same_size(
            report,
            "kontext_output",
            asked,
            output_size(asked, MAX_AREA, PIXELS_PER_TOKEN),
            size(&row, "used_")?,
        );
    }
    let picture = RgbImage::new(16, 16);
    for row in rows("strength") {
        let (steps, first) = (whole(&row[0])?, whole(&row[2])?);
        let strength = row[1].as_f64().ok_or("no strength")?;
        let found = Start::new(picture.clone())
            .strength(strength)
            .left_out(steps, true);
        let same = found == first && steps - found == whole(&row[3])?;
        let name = format!("strength.{steps}.{strength}");
        report.exact(&name, same, || {
            format!("begins at {found}, expected {first}")
        });
    }
    for row in rows("dynamic_schedules") {
        let (tokens, steps) = (whole(&row["image_tokens"])?, whole(&row["steps"])?);
        let options = SchedulerOptions::default().image_tokens(tokens);
        let scheduler = SchedulerConfig::flow_match_dev().build(steps, &options)?;
        let values = scheduler.sigmas().ok_or("no noise levels")?.to_vec();
        #[expect(clippy::cast_possible_truncation, reason = "the golden values are f32")]
        let wanted = (row["sigmas"].as_array().into_iter().flatten())
            .filter_map(|sigma| Some(sigma.as_f64()? as f32));
        let array = |values: Vec<f32>| Array {
            shape: vec![values.len()],
            values,
        };
        // one unit in the last place of f32
        report.within(
            &format!("sigmas.{tokens}.{steps}"),
            &array(values),
            &array(wanted.collect()),
            1.2e-7,
        );
    }
    Ok(())
}

/// The posterior's mean and the positions of the tokens, from what the transformer is given.
pub(super) fn compare_reference(
    pipeline: &Flux,
    states: &Encoded,
    expected: &Arrays,
    report: &mut Report,
) -> Outcome {
    let condition = states.conditions.first().ok_or("no reference")?;
    let mean = pipeline
        .vae()?
        .unscale(unpack(condition.tokens.clone(), condition.grid));
    report.tensor("condition_mean", mean, &expected["condition_mean"]);
    let placement = Placement::Canvas.positions(states.grid, &[condition.grid]);
    for (name, positions) in [
        ("condition_ids", placement.into_iter().flatten().collect()),
        ("latent_ids", grid_positions(states.grid)),
    ] {
        #[expect(clippy::cast_possible_truncation, reason = "the golden values are f32")]
        let values = positions.into_iter().flatten().map(|x| x as f32);
        report.values(name, values.collect(), expected);
    }
    Ok(())
}

fn whole(value: &Value) -> Result<usize, Box<dyn Error>> {
    Ok(usize::try_from(value.as_u64().ok_or("no whole number")?)?)
}

fn size(row: &Value, prefix: &str) -> Result<ImageSize, Box<dyn Error>> {
    let side = |name: &str| whole(&row[format!("{prefix}{name}")]);
    Ok(ImageSize::new(side("height")?, side("width")?))
}

fn same_size(
    report: &mut Report,
    what: &str,
    from: ImageSize,
    found: ImageSize,
    wanted: ImageSize,
) {
    let name = format!("{what}.{}x{}", from.width, from.height);
    report.exact(&name, found == wanted, || {
        format!("{found}, expected {wanted}")
    });
}
