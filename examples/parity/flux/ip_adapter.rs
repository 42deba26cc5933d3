//! IP-Adapters: the pictures of a case, their tokens, and the term at the end of a block.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use burn::tensor::Tensor;
use conceptrol_core::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionPlan,
    AttentionProcessor, BatchLayout, Concept, SiteSelector, layer_fn,
    models::image::{ClipImageConfig, clip_crop, open},
    pipeline::{ConceptRequest, Mode, Pipeline, Words},
};
use conceptrol_flux::{Flux, pipeline::Request};

use crate::{
    Outcome,
    case::{Array, Arrays, Case, array},
    report::Report,
};

/// The plain adapter with the pictures of the case.
pub(super) fn request(case: &Case, mut request: Request) -> Result<Request, Box<dyn Error>> {
    let mut pictures = case.files("images").into_iter();
    let mut concept = ConceptRequest::new("picture", open(pictures.next().ok_or("no picture")?)?)
        .words(Words::Everywhere);
    for picture in pictures {
        concept = concept.another_image(open(picture)?);
    }
    let mixes = request.guidance.true_cfg_scale.is_some();
    if mixes && case.has_file("negative_image") {
        concept = concept.negative_image(open(case.file("negative_image")?)?);
    }
    #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
    let scale = |value: &serde_json::Value| value.as_f64().map(|scale| scale as f32);
    let given = &case.params()["ip_adapter_scale"];
    match given.as_array() {
        None => request = request.scale(scale(given).ok_or("no ip_adapter_scale")?),
        Some(blocks) => {
            for (block, given) in blocks.iter().enumerate() {
                let site = SiteSelector::named(format!("transformer_blocks.{block}.attn"));
                request = request.site_scale(site, scale(given).ok_or("no number as a scale")?);
            }
        }
    }
    Ok(request.mode(Mode::Adapter).concept(concept))
}

/// What the image encoder sees of each picture, and the tokens.
pub(super) fn compare(
    case: &Case,
    request: &Request,
    concepts: &[Concept],
    expected: &Arrays,
    report: &mut Report,
) -> Outcome {
    let (Some(asked), Some(concept)) = (request.concepts.first(), concepts.first()) else {
        return Ok(());
    };
    for (index, file) in case.files("clip_crops").iter().enumerate() {
        let picture = asked
            .images()
            .nth(index)
            .ok_or("more crops than pictures")?;
        let same = clip_crop(picture, &ClipImageConfig::default())? == open(file)?;
        report.exact(&format!("clip_crop.{index}"), same, || {
            "pixels differ".into()
        });
    }
    let Some(reference) = &concept.reference else {
        return Ok(());
    };
    let halves = [
        ("image_tokens", &reference.conditional),
        ("uncond_image_tokens", &reference.unconditional),
    ];
    let mixes = request.guidance.true_cfg_scale.is_some();
    for (name, tokens) in &halves[..1 + usize::from(mixes)] {
        if let Some(wanted) = expected.get(*name) {
            let mut tokens = array((*tokens).clone());
            // those of one negative picture may stand there several times
            tokens.values.truncate(wanted.values.len());
            tokens.shape.clone_from(&wanted.shape);
            report.array(name, &tokens, wanted);
        }
    }
    Ok(())
}

/// Records what is left for the end of one block in the first evaluation.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    block: u64,
    terms: Arc<Mutex<Option<Array>>>,
}

impl Recorder {
    pub(super) fn of(case: &Case) -> Result<Option<Self>, Box<dyn Error>> {
        if !case.has_file("ip_adapter") {
            return Ok(None);
        }
        let block = case.params()["recorded_block"].as_u64();
        Ok(block.map(|block| Self {
            block,
            terms: Arc::default(),
        }))
    }

    pub(super) fn plan(
        &self,
        pipeline: &Flux,
        request: &Request,
    ) -> Result<AttentionPlan, Box<dyn Error>> {
        let site = SiteSelector::named(format!("transformer_blocks.{}.attn", self.block));
        let recorder = self.clone();
        let layer = layer_fn(move |_site, inner| Recording {
            recorder: recorder.clone(),
            inner,
        });
        Ok(pipeline.plan_around(request, site, layer)?)
    }

    pub(super) fn compare(&self, batch: BatchLayout, expected: &Arrays, report: &mut Report) {
        let name = format!("block{}.ip_out", self.block);
        let Some(wanted) = expected.get(&name) else {
            return;
        };
        let terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        let values = match &*terms {
            // the first call of diffusers is that of the conditional rows
            Some(terms) => {
                let row = terms.values.len() / batch.rows();
                terms.values[row * batch.conditional().start..].to_vec()
            }
            None => vec![0.0; wanted.values.len()],
        };
        report.values(&name, values, expected);
    }
}

#[derive(Debug)]
struct Recording {
    recorder: Recorder,
    inner: ArcProcessor,
}

impl AttentionProcessor for Recording {
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let out = self.inner.attend(call, cx)?;
        let sum = (cx.block_end.terms().iter().cloned()).reduce(|sum, term| sum + term);
        if let Some(sum) = sum.filter(|_| cx.step.index == 0) {
            let mut terms = (self.recorder.terms.lock()).unwrap_or_else(PoisonError::into_inner);
            *terms = Some(array(sum));
        }
        Ok(out)
    }
}
