//! Attention sites: names, the order they run in and the order diffusers registers them in.

use burn::tensor::Device;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionSites, SiteKind};
use conceptrol_sd::config::UNetConfig;
use conceptrol_sd::sites::attention_sites;
use conceptrol_sd::unet::UNet2DConditionModel;

use crate::golden::Case;

fn registered(sites: &AttentionSites, index: usize) -> &str {
    &sites.registration_order().nth(index).unwrap().name
}

#[test]
fn adapter_keys_of_stable_diffusion_1_5() {
    let sites = attention_sites(&UNetConfig::sd15());
    assert_eq!(sites.len(), 32);
    assert_eq!(
        registered(&sites, 1),
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
    );
    assert_eq!(
        registered(&sites, 13),
        "up_blocks.1.attentions.0.transformer_blocks.0.attn2"
    );
    assert_eq!(
        registered(&sites, 31),
        "mid_block.attentions.0.transformer_blocks.0.attn2"
    );
}

#[test]
fn adapter_keys_of_stable_diffusion_xl() {
    let sites = attention_sites(&UNetConfig::sdxl());
    assert_eq!(sites.len(), 140);
    assert_eq!(
        registered(&sites, 75),
        "up_blocks.0.attentions.1.transformer_blocks.3.attn2"
    );
    assert_eq!(
        registered(&sites, 121),
        "mid_block.attentions.0.transformer_blocks.0.attn2"
    );
    let concept = sites
        .site("up_blocks.0.attentions.1.transformer_blocks.3.attn2")
        .unwrap();
    assert_eq!(
        (concept.heads, concept.head_dim, concept.downsample),
        (20, 64, 4)
    );
    assert_eq!(concept.kind, SiteKind::CrossAttention);
}

#[test]
fn registration_order_is_that_of_diffusers() {
    for name in ["sd15", "sdxl", "asymmetric", "guided"] {
        let case = Case::read(name);
        let sites = attention_sites(&case.unet_config());
        let names: Vec<_> = sites
            .registration_order()
            .map(|site| site.name.as_str())
            .collect();
        assert_eq!(names, case.sites, "{name}");
    }
}

/// The constructor takes sites one after the other; their names must be those of the weights it asks for.
#[test]
fn every_attention_gets_its_own_site() {
    let configs =
        ["sd15", "sdxl", "asymmetric", "guided"].map(|name| Case::read(name).unet_config());
    for config in configs
        .into_iter()
        .chain([UNetConfig::sd15(), UNetConfig::sdxl()])
    {
        let weights = Weights::names(&Device::flex());
        let _ = UNet2DConditionModel::new(&config, &weights);
        let built: Vec<String> = (weights.finish().unwrap().into_iter())
            .filter_map(|tensor| Some(tensor.name.strip_suffix(".to_q.weight")?.to_owned()))
            .collect();
        let sites: Vec<String> = attention_sites(&config)
            .iter()
            .map(|site| site.name.clone())
            .collect();
        assert_eq!(built, sites);
    }
}

#[test]
fn sites_that_read_text_only_are_cross_attention() {
    let sites = attention_sites(&Case::read("asymmetric").unet_config());
    let kind = |name: &str| sites.site(name).unwrap().kind;
    assert_eq!(
        kind("down_blocks.0.attentions.0.transformer_blocks.0.attn1"),
        SiteKind::CrossAttention
    );
    assert_eq!(
        kind("up_blocks.2.attentions.0.transformer_blocks.0.attn1"),
        SiteKind::CrossAttention
    );
    assert_eq!(
        kind("up_blocks.0.attentions.0.transformer_blocks.0.attn1"),
        SiteKind::SelfAttention
    );
}
