//! One layer under the names of every tool.

use conceptrol_core::models::lora::NAMINGS;

use crate::file::{called, dense, lora, numbers, targets};

const MODULE: &str = "block_a.to_out.0";

#[test]
fn every_tool_means_the_same_layer() {
    let (down, up) = (numbers("down", &[2, 4]), numbers("up", &[6, 2]));
    let read = |down_name: &str, up_name: &str| {
        let file = lora(&[called(&down, down_name), called(&up, up_name)]).expect("a LoRA");
        dense(&file, MODULE)
    };
    let expected = read(
        "unet.block_a.to_out.0.lora_A.weight",
        "unet.block_a.to_out.0.lora_B.weight",
    );
    for (down_name, up_name) in [
        (
            "base_model.model.block_a.to_out.0.lora_A.weight",
            "base_model.model.block_a.to_out.0.lora_B.weight",
        ),
        (
            "transformer.block_a.to_out.0.lora_A.default_0.weight",
            "transformer.block_a.to_out.0.lora_B.default_0.weight",
        ),
        (
            "lora_unet_block_a_to_out_0.lora_down.weight",
            "lora_unet_block_a_to_out_0.lora_up.weight",
        ),
        (
            "lora_transformer_block_a_to_out_0.lora_down.weight",
            "lora_transformer_block_a_to_out_0.lora_up.weight",
        ),
        (
            "lycoris_block_a_to_out_0.lora_down.weight",
            "lycoris_block_a_to_out_0.lora_up.weight",
        ),
        (
            "diffusion_model.block_a.to_out.0.lora_A.weight",
            "diffusion_model.block_a.to_out.0.lora_B.weight",
        ),
        (
            "unet.block_a.to_out.0.lora.down.weight",
            "unet.block_a.to_out.0.lora.up.weight",
        ),
        ("block_a.to_out.0.lora_A", "block_a.to_out.0.lora_B"),
    ] {
        assert_eq!(read(down_name, up_name), expected, "{down_name}");
    }
}

/// What is written by the table is read by it.
#[test]
fn the_table_reads_what_it_writes() {
    let (down, up) = (numbers("down", &[2, 4]), numbers("up", &[6, 2]));
    for naming in NAMINGS {
        let (module, up, part) = match naming.part {
            None | Some(conceptrol_core::models::lora::Part::Denoiser) => {
                (MODULE, &up, "the denoiser")
            }
            Some(conceptrol_core::models::lora::Part::ClipL) => {
                ("text_model.fc1", &numbers("up", &[8, 2]), "CLIP-L")
            }
            Some(_) => continue,
        };
        let name = naming.spell(module);
        let down = called(&down, format!("{name}.lora_down.weight"));
        let up = called(up, format!("{name}.lora_up.weight"));
        let file = lora(&[down, up]).expect("a LoRA");
        let read = file.read(&targets(), 1.0).expect("it fits");
        let parts: Vec<_> = read.parts().map(|(part, _)| part.to_string()).collect();
        assert_eq!(parts, [part], "{name}");
    }
}

#[test]
fn fused_layers_are_cut_and_halves_change_places() {
    let (down, up) = (
        numbers("qkv.lora_A.weight", &[2, 4]),
        numbers("qkv.lora_B.weight", &[12, 2]),
    );
    let file = lora(&[down, up]).expect("a LoRA");
    let parts = ["attn.q", "attn.k", "attn.v"].map(|module| dense(&file, module));
    let whole = crate::file::host(&numbers("qkv.lora_B.weight", &[12, 2]));
    let down = crate::file::host(&numbers("qkv.lora_A.weight", &[2, 4]));
    let expected: Vec<f32> = (0..12 * 4)
        .map(|i| {
            (0..2)
                .map(|r| whole[i / 4 * 2 + r] * down[r * 4 + i % 4])
                .sum()
        })
        .collect();
    crate::file::assert_close(&parts.concat(), &expected, "the parts are the rows");

    let named = |name: &str| {
        let (down, up) = (numbers("down", &[2, 4]), numbers("up", &[6, 2]));
        let down = called(&down, format!("{name}.lora_A.weight"));
        lora(&[down, called(&up, format!("{name}.lora_B.weight"))]).expect("a LoRA")
    };
    let mut straight = dense(&named(MODULE), MODULE);
    straight.rotate_left(3 * 4);
    assert_eq!(dense(&named("swapped"), MODULE), straight);
}
