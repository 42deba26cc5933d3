//! How tools write the names of modules.

use super::target::Part;

/// What a tool puts between the words of a module's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// `attn1.to_q`
    Dots,
    /// `attn1_to_q`. Cannot be split again: the names of a model hold underscores themselves.
    Underscores,
}

/// How a tool writes the names of a model's modules: a prefix, then the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Naming {
    /// The tool.
    pub tool: &'static str,
    /// The model it is for; any if `None`.
    pub part: Option<Part>,
    /// What comes before the name.
    pub prefix: &'static str,
    /// How the words of the name are joined.
    pub words: Words,
}

/// The one table of namings, most usual tool first. Names are those of diffusers and transformers or any other of the
/// model (SGM, BFL, `XLabs`, attention processors): [`LoraTarget`](super::LoraTarget) knows them.
pub const NAMINGS: &[Naming] = &[
    dots("diffusers", Part::Denoiser, "unet."),
    dots("diffusers", Part::Denoiser, "transformer."),
    dots("diffusers", Part::ClipL, "text_encoder."),
    dots("diffusers", Part::ClipG, "text_encoder_2."),
    dots("diffusers", Part::T5, "text_encoder_2."),
    Naming {
        tool: "peft",
        part: None,
        prefix: "base_model.model.",
        words: Words::Dots,
    },
    underscores("kohya", Part::Denoiser, "lora_unet_"),
    underscores("kohya", Part::ClipL, "lora_te_"),
    underscores("kohya", Part::ClipL, "lora_te1_"),
    underscores("kohya", Part::ClipG, "lora_te2_"),
    underscores("kohya", Part::T5, "lora_te3_"),
    underscores("OneTrainer", Part::Denoiser, "lora_transformer_"),
    underscores("OneTrainer", Part::T5, "lora_te2_"),
    Naming {
        tool: "LyCORIS",
        part: None,
        prefix: "lycoris_",
        words: Words::Underscores,
    },
    dots("ComfyUI", Part::Denoiser, "diffusion_model."),
    dots("ComfyUI", Part::Denoiser, "model.diffusion_model."),
    dots("ComfyUI", Part::ClipL, "text_encoders.clip_l.transformer."),
    dots("ComfyUI", Part::ClipG, "text_encoders.clip_g.transformer."),
    dots("ComfyUI", Part::T5, "text_encoders.t5xxl.transformer."),
    dots("ComfyUI", Part::ClipL, "clip_l.transformer."),
    dots("ComfyUI", Part::ClipG, "clip_g.transformer."),
    dots("ComfyUI", Part::T5, "t5xxl.transformer."),
    dots("plain", Part::Denoiser, ""),
];

const fn dots(tool: &'static str, part: Part, prefix: &'static str) -> Naming {
    Naming {
        tool,
        part: Some(part),
        prefix,
        words: Words::Dots,
    }
}

const fn underscores(tool: &'static str, part: Part, prefix: &'static str) -> Naming {
    Naming {
        tool,
        part: Some(part),
        prefix,
        words: Words::Underscores,
    }
}

impl Naming {
    /// Whether it is for this model.
    pub fn is_for(&self, part: Part) -> bool {
        self.part.is_none_or(|own| own == part)
    }

    /// What messages call it, with names of `dialect` if they are not the model's own.
    pub(super) fn convention(&self, dialect: Option<&str>) -> String {
        match dialect {
            None => self.tool.to_owned(),
            Some(dialect) if self.prefix.is_empty() => dialect.to_owned(),
            Some(dialect) => format!("{} ({dialect} names)", self.tool),
        }
    }

    /// A module's name as the tool writes it.
    ///
    /// ```
    /// use conceptrol_core::models::lora::NAMINGS;
    ///
    /// let kohya = NAMINGS.iter().find(|naming| naming.tool == "kohya").unwrap();
    /// assert_eq!(kohya.spell("mid_block.attentions.0.proj_in"), "lora_unet_mid_block_attentions_0_proj_in");
    /// ```
    pub fn spell(&self, module: &str) -> String {
        match self.words {
            Words::Dots => format!("{}{module}", self.prefix),
            Words::Underscores => format!("{}{}", self.prefix, module.replace('.', "_")),
        }
    }
}
