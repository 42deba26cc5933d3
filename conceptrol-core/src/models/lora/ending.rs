//! How tools end the names of a layer's tensors.

/// What a tensor is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    /// `LoRA`: applied first, `[rank, in, ..]`.
    Down,
    /// `LoRA`: applied last, `[out, rank, ..]`.
    Up,
    /// `LoRA` of a convolution in Tucker form: between the two, `[rank, rank, height, width]`.
    Mid,
    /// The strength, one number.
    Alpha,
    /// `LoHa`: the factors of two products, and their Tucker cores.
    Hada1A,
    Hada1B,
    Hada1Core,
    Hada2A,
    Hada2B,
    Hada2Core,
    /// `LoKr`: two matrices, each whole or as a product.
    Kron1,
    Kron1A,
    Kron1B,
    Kron2,
    Kron2A,
    Kron2B,
    Kron2Core,
    /// The whole difference of a weight.
    Difference,
    /// What is known and not computed.
    Unsupported(&'static str),
}

/// Endings that stand for a role. `{}` is the name of an adapter, which peft may put there.
const ENDINGS: &[(&str, Role)] = &[
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_A.{}.weight", Role::Down),
    (".lora_B.{}.weight", Role::Up),
    (".lora_A", Role::Down),
    (".lora_B", Role::Up),
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora_mid.weight", Role::Mid),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    (".down.weight", Role::Down),
    (".up.weight", Role::Up),
    (".alpha", Role::Alpha),
    (".hada_w1_a", Role::Hada1A),
    (".hada_w1_b", Role::Hada1B),
    (".hada_t1", Role::Hada1Core),
    (".hada_w2_a", Role::Hada2A),
    (".hada_w2_b", Role::Hada2B),
    (".hada_t2", Role::Hada2Core),
    (".lokr_w1", Role::Kron1),
    (".lokr_w1_a", Role::Kron1A),
    (".lokr_w1_b", Role::Kron1B),
    (".lokr_w2", Role::Kron2),
    (".lokr_w2_a", Role::Kron2A),
    (".lokr_w2_b", Role::Kron2B),
    (".lokr_t2", Role::Kron2Core),
    (".diff", Role::Difference),
    (".dora_scale", Role::Unsupported("DoRA")),
    (".lora_magnitude_vector", Role::Unsupported("DoRA")),
    (".lora_magnitude_vector.weight", Role::Unsupported("DoRA")),
    (
        ".lora_magnitude_vector.{}.weight",
        Role::Unsupported("DoRA"),
    ),
    (".lora_magnitude_vector.{}", Role::Unsupported("DoRA")),
    (".lora_B.bias", Role::Unsupported("an adapter of biases")),
    (".lora_B.{}.bias", Role::Unsupported("an adapter of biases")),
    (".diff_b", Role::Unsupported("an adapter of biases")),
    (".w_norm", Role::Unsupported("an adapter of norms")),
    (".b_norm", Role::Unsupported("an adapter of norms")),
    (".on_input", Role::Unsupported("IA3")),
    (".oft_blocks", Role::Unsupported("OFT")),
    (".oft_diag", Role::Unsupported("OFT")),
    (".oft_r", Role::Unsupported("OFT")),
    (
        ".scalar",
        Role::Unsupported("LyCORIS with a trained scalar"),
    ),
    (".a1.weight", Role::Unsupported("GLoRA")),
    (".a2.weight", Role::Unsupported("GLoRA")),
    (".b1.weight", Role::Unsupported("GLoRA")),
    (".b2.weight", Role::Unsupported("GLoRA")),
];

/// The layer's name and the role of a tensor, by the longest ending of the table.
pub(super) fn split(name: &str) -> Option<(&str, Role)> {
    let stems = ENDINGS
        .iter()
        .filter_map(|(ending, role)| Some((strip(name, ending)?, *role)));
    stems
        .filter(|(stem, _)| !stem.is_empty())
        .min_by_key(|(stem, _)| stem.len())
}

fn strip<'n>(name: &'n str, ending: &str) -> Option<&'n str> {
    let Some((before, after)) = ending.split_once("{}") else {
        return name.strip_suffix(ending);
    };
    let name = name.strip_suffix(after)?;
    let at = name.rfind(before)?;
    let adapter = &name[at + before.len()..];
    (!adapter.is_empty() && !adapter.contains('.')).then_some(&name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_ending_counts() {
        for (name, expected) in [
            ("unet.a.lora_A.weight", Some(("unet.a", Role::Down))),
            ("unet.a.lora_B.default_0.weight", Some(("unet.a", Role::Up))),
            ("a.lora.down.weight", Some(("a", Role::Down))),
            (
                "a.processor.to_q_lora.up.weight",
                Some(("a.processor.to_q_lora", Role::Up)),
            ),
            ("a.lokr_w1_a", Some(("a", Role::Kron1A))),
            ("a.weight", None),
            (".alpha", None),
        ] {
            assert_eq!(split(name), expected, "{name}");
        }
    }
}
