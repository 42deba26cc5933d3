//! What the example `plug_in_your_model` shows holds for other weights as well.

#[path = "../plug_in_your_model/scene.rs"]
mod scene;
#[path = "../plug_in_your_model/unet.rs"]
mod unet;

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{AttentionPlan, SiteSelector, processors::CaptureLayer};
use scene::{SIDE, Scene, change};

const CONCEPT_BLOCK: &str = "up.attn2";

/// Random numbers are drawn from one state of the whole process, and Burn draws those of a layer when it is first used. So one scene is
/// made at a time, and every layer of it is used before the next.
fn scene(seed: u64) -> Scene {
    static DRAWING: Mutex<()> = Mutex::new(());
    let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::flex();
    device.seed(seed);
    let scene = Scene::new(&device);
    latents(&scene, &AttentionPlan::plain(scene.sites()));
    scene
}

fn latents(scene: &Scene, plan: &AttentionPlan) -> Tensor<4> {
    scene.generate(plan).expect("latents").0
}

#[test]
fn watching_changes_no_bit() {
    let scene = scene(1);
    let watch = AttentionPlan::builder(scene.sites())
        .layer(SiteSelector::cross(), CaptureLayer::new())
        .build()
        .expect("a plan");
    let [watched, plain] =
        [watch, AttentionPlan::plain(scene.sites())].map(|plan| latents(&scene, &plan).into_data());
    assert_eq!(watched, plain);
}

#[test]
fn the_gate_keeps_the_change_where_the_word_acts() {
    for seed in 1..=5 {
        let scene = scene(seed);
        let text_only = latents(&scene, &AttentionPlan::plain(scene.sites()));
        let [plain, gated] = [None, Some(CONCEPT_BLOCK)]
            .map(|block| latents(&scene, &scene.plan(block).expect("a plan")));
        let ([_, plain], [on_cat, elsewhere]) =
            (change(&plain, &text_only), change(&gated, &text_only));
        println!("seed {seed}: plain {plain:.3}, gated {on_cat:.3} and {elsewhere:.3}");
        assert!(
            elsewhere < 0.5 * plain,
            "seed {seed}: the leak is less than half"
        );
        assert!(on_cat > 2.0 * elsewhere, "seed {seed}: it acts on the cat");
    }
}

#[test]
fn maps_say_which_block_to_read() {
    let scene = scene(3);
    let watch = AttentionPlan::builder(scene.sites())
        .layer(SiteSelector::cross(), CaptureLayer::new())
        .build()
        .expect("a plan");
    let (latents, captures) = scene.generate(&watch).expect("latents");
    assert_eq!(latents.dims()[2..], [SIDE, SIDE]);
    let of_block = |name: &str| {
        let id = scene.sites().site(name).expect("a site").id;
        let first = |stamp: conceptrol_core::mask::Stamp| stamp.site == id && stamp.step == 0;
        let capture = captures
            .iter()
            .find(|capture| capture.map.stamp().is_some_and(first));
        scene.share_on_cat(&capture.expect("it is watched").map)
    };
    assert!(of_block(CONCEPT_BLOCK) > 0.9 && of_block("mid.attn2") < 0.6);
}
