//! The denoiser with OminiControl and Conceptrol against the authors' code, from encoded prompt to latents.

mod common;

use std::ops::ControlFlow;

use burn::tensor::{FloatDType, Tensor};
use common::Case;
use conceptrol_core::models::scheduler::FlowMatchConfig;
use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_core::pipeline::Fidelity;
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, ConditionSchedule, Grid, Session, StepWindow,
};
use conceptrol_flux::load::{AdapterError, AdapterReader, Residency, load_transformer};
use conceptrol_flux::mmdit::{Adapters, FluxTransformer, Stream};
use conceptrol_flux::omini::{Condition, Placement};
use conceptrol_flux::pipeline::{Denoise, Progress, conceptrol_plan, ominicontrol_plan};
use conceptrol_flux::{FluxConfig, FluxError};

const GRID: Grid = Grid::new(8, 8);

fn model(case: &Case, residency: Residency) -> FluxTransformer {
    let folder = case.file("model").join("transformer");
    let config = FluxConfig::from_file(folder.join("config.json")).expect("a config");
    let weights = Weights::open(&folder, &case.device, FloatDType::F32).expect("weights");
    let mut model = load_transformer(&config, weights, residency).expect("every tensor is used");
    let file = Checkpoint::open(case.file("lora")).expect("a file");
    let mut adapters = Adapters::default();
    let reader = AdapterReader::new(&config, &case.device, FloatDType::F32);
    reader
        .read(&file, Stream::Condition, 1.0, &mut adapters)
        .expect("an adapter");
    model.set_adapters(adapters);
    model
}

fn condition(case: &Case) -> Condition {
    Condition {
        tokens: case.expected("condition_tokens"),
        grid: Grid::new(32, 32),
    }
}

fn concept() -> Concept {
    Concept::new("t-shirt", [vec![6..10]])
}

fn denoise<'a>(
    case: &Case,
    transformer: &'a FluxTransformer,
    conditions: &'a [Condition],
    steps: usize,
) -> Denoise<'a> {
    let schedule = FlowMatchConfig::dev()
        .schedule(steps, GRID.cells())
        .expect("a schedule");
    Denoise {
        transformer,
        schedule,
        text: case.expected("prompt_embeds"),
        pooled: case.expected("pooled_prompt_embeds"),
        conditions,
        placement: Placement::RightOfPicture,
        latents: case.input("latents"),
        grid: GRID,
        guidance: 3.5,
        dtype: FloatDType::F32,
    }
}

fn finish(denoise: Denoise<'_>, session: &mut Session) -> Tensor<3> {
    denoise
        .run(session, &mut |_| ControlFlow::Continue(()))
        .expect("latents")
}

fn equals_the_reference(residency: Residency) {
    let case = Case::open("flux_dev_conceptrol_w025_s07");
    let model = model(&case, residency);
    let plan = conceptrol_plan(model.config(), Fidelity::Authors).expect("a plan");
    let window = StepWindow::new(0.25, 1.0).expect("a window");
    let strength = ConditionSchedule::new(0.7, window).outside(0.5);
    let batch = BatchLayout::unguided(1);
    let mut session = Session::new(&plan, batch, [concept()])
        .expect("a session")
        .condition(strength);

    let (mut latents, mut masks) = (Vec::new(), Vec::new());
    let mut observer = |progress: Progress<'_>| {
        latents.push(progress.latents.clone());
        masks.push(
            progress
                .session
                .board()
                .latest(0)
                .expect("published")
                .values()
                .clone()
                .log(),
        );
        ControlFlow::Continue(())
    };
    let conditions = [condition(&case)];
    denoise(&case, &model, &conditions, 8)
        .run(&mut session, &mut observer)
        .expect("latents");

    let expected: Tensor<3> = case.expected("latents");
    case.check_against("latents", Tensor::cat(latents, 0), expected.narrow(0, 1, 8));
    // Three refreshes a step; the last of them is what the step leaves on the board.
    let refreshes: Tensor<2> = case.expected("concept_mask_log");
    let last = refreshes
        .reshape([8, 3, 64])
        .narrow(1, 2, 1)
        .reshape([8, 64]);
    case.check_against("concept_mask_log", Tensor::cat(masks, 0), last);
}

#[test]
fn latents_and_masks_equal_the_reference() {
    equals_the_reference(Residency::Memory);
}

#[test]
fn blocks_from_disk_give_the_same() {
    equals_the_reference(Residency::Disk);
}

#[test]
fn a_batch_equals_its_pictures_one_by_one() {
    let case = Case::open("flux_dev_conceptrol_w025_s07");
    let model = model(&case, Residency::Memory);
    let plan = conceptrol_plan(model.config(), Fidelity::Paper).expect("a plan");
    let first: Tensor<3> = case.input("latents");
    let second = first.clone().flip([1]);
    let conditions = [condition(&case)];
    let run = |latents: Tensor<3>| {
        let batch = BatchLayout::unguided(latents.dims()[0]);
        let mut session = Session::new(&plan, batch, [concept()]).expect("a session");
        finish(
            Denoise {
                latents,
                ..denoise(&case, &model, &conditions, 2)
            },
            &mut session,
        )
    };
    let together = run(Tensor::cat(vec![first.clone(), second.clone()], 0));
    let apart = Tensor::cat(vec![run(first), run(second)], 0);
    case.check_against("latents", together, apart);
}

/// Several conditions, not square, larger than the picture, and one of them without any strength.
#[test]
fn conditions_of_any_size_stay_finite() {
    let case = Case::open("flux_dev_conceptrol_w025_s07");
    let model = model(&case, Residency::Memory);
    let tokens = condition(&case).tokens;
    let conditions = [
        Condition {
            tokens: tokens.clone().narrow(1, 0, 16 * 24),
            grid: Grid::new(16, 24),
        },
        Condition {
            tokens: tokens.narrow(1, 7, 3 * 5),
            grid: Grid::new(3, 5),
        },
    ];
    for plan in [
        conceptrol_plan(model.config(), Fidelity::Paper).expect("a plan"),
        ominicontrol_plan(model.config()).expect("a plan"),
    ] {
        let concepts = [concept(), Concept::new("man", [vec![2..3]]).scale(0.0)];
        let mut session =
            Session::new(&plan, BatchLayout::unguided(1), concepts).expect("a session");
        let latents = finish(denoise(&case, &model, &conditions, 2), &mut session);
        let numbers = latents.into_data().try_to_vec::<f32>().expect("f32");
        assert!(numbers.iter().all(|x| x.is_finite()), "{plan:?}");
    }
}

/// Without strength the condition is blocked, not merely faint: the picture is that without a condition.
#[test]
fn no_strength_is_no_condition() {
    let case = Case::open("flux_dev_conceptrol_w025_s07");
    let model = model(&case, Residency::Memory);
    let conditions = [condition(&case)];
    let plan = ominicontrol_plan(model.config()).expect("a plan");
    let mut session =
        Session::new(&plan, BatchLayout::unguided(1), [concept().scale(0.0)]).expect("a session");
    let blocked = finish(denoise(&case, &model, &conditions, 2), &mut session);

    let plan = AttentionPlan::plain(session.sites());
    let mut session = Session::new(&plan, BatchLayout::unguided(1), []).expect("a session");
    let plain = finish(denoise(&case, &model, &[], 2), &mut session);
    case.check_against("latents", blocked, plain);
}

/// A style adapter changes text and latents and leaves the condition's adapter in place.
#[test]
fn style_and_condition_adapters_act_together() {
    let case = Case::open("flux_dev_conceptrol_w025_s07");
    let mut model = model(&case, Residency::Memory);
    let plain = AttentionPlan::plain(&conceptrol_flux::attention_sites(model.config()));
    let run = |model: &FluxTransformer| {
        let mut session = Session::new(&plain, BatchLayout::unguided(1), []).expect("a session");
        finish(denoise(&case, model, &[], 2), &mut session)
    };
    let before = run(&model);
    let file = Checkpoint::open(case.file("lora")).expect("a file");
    let reader = AdapterReader::new(model.config(), &case.device, FloatDType::F32);
    let mut adapters = Adapters::default();
    reader
        .read(&file, Stream::Main, 0.0, &mut adapters)
        .expect("an adapter");
    model.set_adapters(adapters.clone());
    case.check_against("latents", run(&model), before.clone());
    reader
        .read(&file, Stream::Main, 1.0, &mut adapters)
        .expect("an adapter");
    model.set_adapters(adapters);
    let change = (run(&model) - before).abs().max().into_scalar::<f32>();
    assert!(
        change > 0.1,
        "a full-strength adapter changes the picture, by {change}"
    );
}

#[test]
fn an_adapter_for_another_model_is_refused() {
    let case = Case::open("flux_dev_conceptrol_w025_s07");
    let reader = AdapterReader::new(&FluxConfig::dev(), &case.device, FloatDType::F32);
    let file = Checkpoint::open(case.file("lora")).expect("a file");
    let read = |file: &Checkpoint| {
        reader
            .read(file, Stream::Condition, 1.0, &mut Adapters::default())
            .expect_err("refused")
    };
    let error = read(&file);
    assert!(matches!(error, AdapterError::Shape { .. }), "{error}");
    let other = file.rename(|name| Some(name.replace("transformer_blocks", "down_blocks")));
    let error = read(&other);
    assert!(matches!(error, AdapterError::OtherModel { .. }), "{error}");
    let halves = file.rename(|name| (!name.contains("lora_B")).then(|| name.to_owned()));
    assert!(matches!(read(&halves), AdapterError::Unpaired { .. }));
    let model = Checkpoint::open(case.file("model").join("transformer")).expect("a file");
    assert!(matches!(read(&model), AdapterError::NoPairs { .. }));
}

#[test]
fn an_observer_can_stop() {
    let case = Case::open("flux_dev_conceptrol_w025_s07");
    let model = model(&case, Residency::Memory);
    let plan = AttentionPlan::plain(&conceptrol_flux::attention_sites(model.config()));
    let mut session = Session::new(&plan, BatchLayout::unguided(1), []).expect("a session");
    let mut seen = 0;
    let result = denoise(&case, &model, &[], 4).run(&mut session, &mut |_| {
        seen += 1;
        if seen == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(
        result,
        Err(FluxError::Cancelled { done: 2, total: 4 })
    ));
}

#[test]
fn words_beyond_the_text_are_refused() {
    let case = Case::open("flux_dev_conceptrol_w025_s07");
    let model = model(&case, Residency::Memory);
    let plan = conceptrol_plan(model.config(), Fidelity::Paper).expect("a plan");
    let conditions = [condition(&case)];
    let beyond = Concept::new("library", [vec![31..33]]);
    let mut session = Session::new(&plan, BatchLayout::unguided(1), [beyond]).expect("a session");
    let result = denoise(&case, &model, &conditions, 2)
        .run(&mut session, &mut |_| ControlFlow::Continue(()));
    let message = result.expect_err("refused").to_string();
    assert!(
        message.contains("`library` ends at token 33, the text has 32"),
        "{message}"
    );
}
