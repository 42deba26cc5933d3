//! What `ControlNets` add, when, and where.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{
    AttentionPlan, Grid, MaskRole, Session, SiteSelector, StepInfo, StepWindow,
    mask::ConceptMask,
    models::image::{Filter, resize},
    pipeline::{ConceptGate, ConceptRequest, Family, ImageSize, Mode, Pipeline, Residency, Silent},
    processors::CaptureLayer,
};
use conceptrol_sd::{
    StableDiffusion,
    pipeline::{ControlRequest, Request},
    unet::Residuals,
};

use crate::{
    batch::check,
    common::largest,
    made::{controlled, controlled_with, net, net_config, work},
    tiny::{latents, options, picture, pipeline, request},
};

/// A control picture of the right size.
fn edges(seed: u32) -> image::RgbImage {
    resize(&picture(seed), 64, 64, Filter::Lanczos)
}

fn control() -> ControlRequest {
    ControlRequest::new(0, edges(3))
}

fn with(control: ControlRequest) -> Request {
    let mut request = request(&["statue"]);
    request.extra.controls = vec![control];
    request
}

/// A concept with this number everywhere as its place.
fn place(value: f32) -> ConceptRequest {
    let mask = Tensor::full([1, 64], value, &Device::flex());
    let mask = ConceptMask::new(mask, Grid::new(8, 8)).expect("64 cells");
    (ConceptRequest::words_only("book").mask(mask)).mask_role(MaskRole::Instead)
}

#[test]
fn off_is_no_control() {
    let work = work();
    let pipeline = controlled(&[&net(work.path(), 1, &net_config(""))]);
    let without = latents(&pipeline, &request(&["statue"]));
    assert_eq!(without, latents(&self::pipeline(1), &request(&["statue"])));
    assert_eq!(latents(&pipeline, &with(control().scale(0.0))), without);
    let never = StepWindow::new(0.0, 0.0).expect("a window");
    assert_eq!(latents(&pipeline, &with(control().window(never))), without);
    let on = latents(&pipeline, &with(control()));
    assert_ne!(on, without);
    // in one of two steps
    let late = StepWindow::new(0.5, 1.0).expect("a window");
    let late = latents(&pipeline, &with(control().window(late)));
    assert!(late != without && late != on);
}

#[test]
fn a_gate_of_ones_is_no_gate_and_of_zeros_no_control() {
    let work = work();
    let pipeline = controlled(&[&net(work.path(), 1, &net_config(""))]);
    let [on, off] = [control(), control().scale(0.0)].map(|c| latents(&pipeline, &with(c)));
    let gated = |gate, value| {
        let request = with(control().gate(gate)).concept(place(value));
        latents(&pipeline, &request)
    };
    let (inside, outside) = (ConceptGate::inside(1), ConceptGate::outside(1));
    assert_eq!(gated(inside, 1.0), on);
    assert_eq!(gated(inside, 0.0), off);
    assert_eq!(gated(outside, 0.0), on);
    assert_eq!(gated(outside, 1.0), off);
}

/// What attention says is there after the first step: both sides of a gate are off before.
#[test]
fn a_gate_follows_attention() {
    let work = work();
    let pipeline = controlled(&[&net(work.path(), 1, &net_config(""))]);
    for mode in [Mode::Conceptrol, Mode::TextOnly] {
        let of = |steps, gate: Option<ConceptGate>, scale| {
            let mut asked = control().scale(scale);
            asked.gate = gate;
            let words = ConceptRequest::words_only("book");
            latents(
                &pipeline,
                &with(asked).concept(words).steps(steps).mode(mode),
            )
        };
        let sides = [ConceptGate::inside(1), ConceptGate::outside(1)];
        let off = of(1, sides.first().copied(), 0.0);
        let first = sides.map(|side| of(1, Some(side), 1.0));
        assert_eq!(first, [off.clone(), off]);
        let [inside, outside] = sides.map(|side| of(2, Some(side), 1.0));
        assert_ne!(inside, outside);
        assert_ne!(inside, of(2, sides.first().copied(), 0.0));
    }
}

/// What the nets of a request add in its first step.
fn residuals(pipeline: &StableDiffusion, request: &Request) -> Residuals {
    let conditioning = pipeline.condition(request).expect("a valid request");
    let denoiser = pipeline.denoiser(request).expect("nets");
    let plan = AttentionPlan::plain(pipeline.attention_sites());
    let mut session = Session::new(&plan, conditioning.batch, []).expect("a session");
    let latents = &conditioning.latents;
    let rows = conditioning.batch.by_role(latents, || latents.clone());
    let step = StepInfo::new(0, 2, 801.0);
    session.begin_step(step);
    let residuals = denoiser.residuals(&conditioning.states, &rows, step, &mut session);
    residuals.expect("computed").expect("a net is on")
}

fn values(residuals: &Residuals) -> Vec<Vec<f32>> {
    let all = residuals.down.iter().chain([&residuals.mid]);
    all.map(|x| x.to_data().iter::<f32>().collect()).collect()
}

#[test]
fn several_nets_add_up() {
    let work = work();
    let nets = [1, 2].map(|seed| net(work.path(), seed, &net_config("")));
    let pipeline = controlled(&[&nets[0], &nets[1]]);
    let one = control().scale(0.5);
    let other = ControlRequest::new(1, edges(4)).scale(-1.5);
    let mut both = with(one.clone());
    both.extra.controls.push(other.clone());
    let alone = [one, other].map(|control| values(&residuals(&pipeline, &with(control))));
    let sums = values(&residuals(&pipeline, &both));
    for (index, sum) in sums.iter().enumerate() {
        let pairs = alone[0][index].iter().zip(&alone[1][index]);
        let expected: Vec<f32> = pairs.map(|(a, b)| a + b).collect();
        assert_eq!(sum, &expected, "residual {index}");
    }
}

/// diffusers: `logspace(-1, 0)` over the residuals, and zeros for the unconditional rows.
#[test]
fn guessing_acts_on_conditional_rows_more_strongly_the_deeper() {
    let work = work();
    let pipeline = controlled(&[&net(work.path(), 1, &net_config(""))]);
    let usual = values(&residuals(&pipeline, &with(control())));
    let guessed = values(&residuals(
        &pipeline,
        &with(control().scale(0.7).guess(true)),
    ));
    let last = usual.len() - 1;
    for (index, (usual, guessed)) in usual.iter().zip(&guessed).enumerate() {
        let half = usual.len() / 2;
        assert!(
            guessed[..half].iter().all(|x| *x == 0.0),
            "residual {index}"
        );
        #[expect(clippy::cast_precision_loss, reason = "ten residuals")]
        let factor = 0.7 * 10.0_f32.powf(index as f32 / last as f32 - 1.0);
        let pairs = usual[half..].iter().zip(&guessed[half..]);
        let off = largest(pairs.map(|(usual, guessed)| (usual * factor - guessed).abs()));
        assert!(off < 1e-5, "residual {index}: {off}");
    }
}

#[test]
fn a_pooled_net_gives_means_for_conditional_rows() {
    let work = work();
    let plain = net(work.path(), 1, &net_config(""));
    let usual = residuals(&controlled(&[&plain]), &with(control()));
    let pooled = net_config(r#", "global_pool_conditions": true"#);
    let pooled = net(work.path(), 1, &pooled);
    let pooled = residuals(&controlled(&[&pooled]), &with(control()));
    for (usual, pooled) in usual.down.iter().zip(&pooled.down) {
        let [rows, channels, ..] = usual.dims();
        assert_eq!(pooled.dims(), [rows, channels, 1, 1]);
        let mean = usual.clone().slice_dim(0, 1..2).mean_dim(2).mean_dim(3);
        let pooled = pooled.clone();
        let zeros = pooled.clone().slice_dim(0, 0..1).abs().max();
        assert_eq!(zeros.into_scalar::<f32>(), 0.0);
        let off = (mean - pooled.slice_dim(0, 1..2)).abs().max();
        assert!(off.into_scalar::<f32>() < 1e-5);
    }
}

#[test]
fn a_controlled_picture_does_not_see_others() {
    let work = work();
    let net = net(work.path(), 1, &net_config(""));
    for dtype in [FloatDType::F32, FloatDType::BF16] {
        // nets are dropped after use, and loaded again
        let options = options().dtype(dtype).residency(Residency::WhileUsed);
        let pipeline = controlled_with(&[&net], options);
        check(&pipeline, |request| {
            let gated = control().gate(ConceptGate::outside(1));
            request.extra.controls = vec![control().guess(true), gated];
        });
    }
}

/// The embedding comes from the net or is loaded alone, the picture has the size or is resized.
#[test]
fn the_picture_is_embedded_once() {
    let work = work();
    let pipeline = controlled(&[&net(work.path(), 1, &net_config(""))]);
    let alone = latents(&pipeline, &with(control()));
    assert_eq!(latents(&pipeline, &with(control())), alone);
    let small = ControlRequest::new(0, picture(3));
    assert_eq!(latents(&pipeline, &with(small.clone())), alone);
    // 40 x 56 pixels
    let mut own = with(small);
    own.size = None;
    assert_eq!(pipeline.size(&own), ImageSize::new(56, 40));
}

/// Masks are read and adapters act at the UNet's sites alone.
#[test]
fn nets_have_sites_of_their_own() {
    let work = work();
    let pipeline = controlled(&[&net(work.path(), 1, &net_config(""))]);
    let captured = |request: &Request| {
        let plan = pipeline.plan_around(request, SiteSelector::cross(), CaptureLayer::new());
        let generation = pipeline.generate_with(&plan.expect("a plan"), request, &mut Silent);
        generation.expect("a valid request").captures.iter().count()
    };
    let without = captured(&request(&["statue"]));
    assert!(without > 0);
    assert_eq!(captured(&with(control())), without);
}
