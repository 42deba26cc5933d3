//! Conceptrol in a model that this project knows nothing of: a UNet on Burn's modules, which says where its attentions are.
//!
//! `cargo run --release --example plug_in_your_model`

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod scene;
mod unet;

use std::error::Error;

use burn::tensor::Device;
use conceptrol_core::{AttentionPlan, SiteSelector, processors::CaptureLayer};
use conceptrol_examples::say;

use scene::{Scene, change};

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    device.seed(3);
    let scene = Scene::new(&device);

    // 1. Which block knows where the word acts? Look at every map.
    let watch = AttentionPlan::builder(scene.sites())
        .layer(SiteSelector::cross(), CaptureLayer::new())
        .build()?;
    let (text_only, captures) = scene.generate(&watch)?;
    say!("share of the map of \"cat\" that lies on the cat:");
    for capture in captures.iter() {
        let Some(stamp) = capture.map.stamp().filter(|stamp| stamp.step == 0) else {
            continue;
        };
        let name = scene.sites().get(stamp.site).map_or("", |site| &*site.name);
        say!("  {name:12} {:.2}", scene.share_on_cat(&capture.map));
    }

    // 2. The adapter everywhere, and with Conceptrol before it.
    let plain = scene.plan(None)?;
    let gated = scene.plan(Some("up.attn2"))?;
    say!("\n{gated}\n");

    // 3. What the reference has changed.
    say!("change by the reference     on the cat  elsewhere");
    for (name, plan) in [("plain adapter", plain), ("Conceptrol", gated)] {
        let (latents, _) = scene.generate(&plan)?;
        let [inside, outside] = change(&latents, &text_only);
        say!("{name:26}  {inside:10.3}  {outside:9.3}");
    }
    Ok(())
}
