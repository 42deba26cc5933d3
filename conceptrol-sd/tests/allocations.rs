//! What a step allocates. Counts, unlike times, are the same on every machine.

use std::alloc::System;
use std::ops::Range;

use burn::tensor::{DType, Device, FloatDType, Tensor};
use conceptrol_core::mask::ConceptBlock;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::processors::{ConceptrolLayer, IpAdapterLayer, IpProjection};
use conceptrol_core::{
    AttentionPlan, AttentionSites, BatchLayout, Concept, ReferenceTokens, Session, SiteKind,
    SiteSelector, StepInfo,
};
use conceptrol_sd::config::UNetConfig;
use conceptrol_sd::unet::UNet2DConditionModel;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// SD1.5 with a tenth of its channels: activations are to masks what they are at full size.
const CONFIG: &str = r#"{
    "layers_per_block": 2, "block_out_channels": [32, 64, 128, 128], "attention_head_dim": 4, "cross_attention_dim": 64, "norm_num_groups": 8,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]
}"#;
const WORDS: Range<usize> = 3..5;
const SIDE: usize = 32;

/// What one step allocated, and what of it was left.
#[derive(Debug)]
struct Heap {
    blocks: usize,
    bytes: usize,
    left: isize,
}

fn step(unet: &UNet2DConditionModel, session: &mut Session, index: usize, device: &Device) -> Heap {
    let zeros = |shape: [usize; 3]| Tensor::<3>::zeros(shape, (device, DType::F32));
    let latents = Tensor::<4>::ones([2, 4, SIDE, SIDE], (device, DType::F32));
    session.begin_step(StepInfo::new(index, 4, 500.0));
    let text = zeros([2, 77, 64]);
    let region = Region::new(ALLOCATOR);
    let out = unet
        .forward(latents, 500.0, text, None, session)
        .expect("a step");
    drop(out.into_data());
    let stats = region.change();
    Heap {
        blocks: stats.allocations,
        bytes: stats.bytes_allocated,
        left: stats.bytes_allocated as isize - stats.bytes_deallocated as isize,
    }
}

fn adapter(sites: &AttentionSites, device: &Device) -> IpAdapterLayer {
    let cross = sites
        .iter()
        .filter(|site| site.kind == SiteKind::CrossAttention);
    IpAdapterLayer::new(cross.map(|site| {
        let weight = || Tensor::ones([site.heads * site.head_dim, 64], (device, DType::F32));
        let projection = IpProjection::new(weight(), weight());
        (site.name.clone(), projection)
    }))
}

#[test]
fn conceptrol_allocates_no_more_than_the_plain_adapter() {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build_global()
        .expect("the first pool");
    let device = Device::flex();
    let config = UNetConfig::from_json(CONFIG).expect("a configuration");
    let unet = UNet2DConditionModel::new(&config, &Weights::random(0, &device, FloatDType::F32));
    let sites = unet.attention_sites();
    let everywhere = SiteSelector::cross;
    let plain = AttentionPlan::builder(&sites).layer(everywhere(), adapter(&sites, &device));
    let gated = AttentionPlan::builder(&sites)
        .layer(everywhere(), ConceptrolLayer::new(ConceptBlock::sd15()))
        .layer(everywhere(), adapter(&sites, &device));
    let [plain, gated] = [plain, gated].map(|plan| {
        let plan = plan.build().expect("a plan");
        let tokens = || Tensor::ones([1, 16, 64], (&device, DType::F32));
        let concept = Concept::new("concept", [vec![WORDS]])
            .reference(ReferenceTokens::new(tokens(), tokens()));
        let mut session =
            Session::new(&plan, BatchLayout::guided(1), [concept]).expect("a session");
        [0, 1, 2, 3].map(|index| step(&unet, &mut session, index, &device))
    });
    println!("plain {plain:#?}\ngated {gated:#?}");
    // The first step projects keys and values; from then on nothing more is kept, and every step costs the same.
    assert!(
        plain[1].bytes < plain[0].bytes,
        "keys and values are cached"
    );
    for steps in [&plain, &gated] {
        assert_eq!(steps[2].left, steps[3].left, "nothing more is kept");
        // A thread pool has a block or two of its own now and then.
        let blocks = steps[2].blocks.abs_diff(steps[3].blocks);
        assert!(blocks <= 8, "{blocks} blocks more or fewer than before");
    }
    let ratio = gated[3].bytes as f64 / plain[3].bytes as f64;
    assert!(ratio <= 1.01, "bytes {ratio}");
}
