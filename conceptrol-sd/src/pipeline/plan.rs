//! From a request to the plan of its attention.

use std::{collections::BTreeSet, sync::Arc};

use conceptrol_core::{
    AttentionPlan, AttentionPlanBuilder, ProcessorLayer, SiteKind, SiteSelector,
    mask::{ConceptMaskSource, Fixed, OwnMask},
    processors::ConceptrolLayer,
};

use crate::pipeline::{Mode, PipelineError, Request, StableDiffusion};

impl StableDiffusion {
    /// The plan a request is carried out with: Conceptrol around the adapters it uses. Start from
    /// your own with [`generate_with`](Self::generate_with) to add processors.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when an adapter cannot be loaded or the concept block is not known.
    pub fn plan(&self, request: &Request) -> Result<AttentionPlan, PipelineError> {
        self.fill(AttentionPlan::builder(self.attention_sites()), request)
    }

    /// The same plan with one more layer, which sees every call first: to capture maps, or to
    /// process what Conceptrol will see.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan), and a selector or layer that does not fit the UNet.
    pub fn plan_around(
        &self,
        request: &Request,
        sites: SiteSelector,
        layer: impl ProcessorLayer + 'static,
    ) -> Result<AttentionPlan, PipelineError> {
        self.fill(
            AttentionPlan::builder(self.attention_sites()).layer(sites, layer),
            request,
        )
    }

    fn fill(
        &self,
        mut builder: AttentionPlanBuilder<'_>,
        request: &Request,
    ) -> Result<AttentionPlan, PipelineError> {
        if request.mode == Mode::TextOnly || request.concepts.is_empty() {
            return Ok(builder.build()?);
        }
        if request.mode == Mode::Conceptrol {
            builder = builder.layer(
                SiteSelector::cross(),
                ConceptrolLayer::new(self.mask_source(request)?),
            );
        }
        let used: BTreeSet<usize> = request
            .concepts
            .iter()
            .map(|concept| concept.adapter)
            .collect();
        for index in used {
            self.check_adapter(index)?;
            let mut layer = self.adapter(index)?.layer().adapter(index);
            for (sites, scale) in &request.site_scales {
                layer = layer.site_scale(sites.clone(), *scale);
            }
            builder = builder.layer(SiteSelector::cross(), layer);
        }
        Ok(builder.build()?)
    }

    fn mask_source(&self, request: &Request) -> Result<Arc<dyn ConceptMaskSource>, PipelineError> {
        let source: Arc<dyn ConceptMaskSource> = match (&request.mask_source, self.concept_block())
        {
            (Some(source), _) => Arc::clone(source),
            (None, Some(block)) => Arc::new(block.clone()),
            // every concept has a mask of its own: no block is read
            (None, None)
                if request
                    .concepts
                    .iter()
                    .all(|concept| concept.mask.is_some()) =>
            {
                Arc::new(Fixed::required())
            }
            (None, None) => {
                let cross = self
                    .attention_sites()
                    .iter()
                    .filter(|site| site.kind == SiteKind::CrossAttention);
                return Err(PipelineError::NoConceptBlock {
                    sites: cross.map(|site| site.name.clone()).collect(),
                });
            }
        };
        let own_masks = request
            .concepts
            .iter()
            .any(|concept| concept.mask.is_some());
        Ok(if own_masks {
            Arc::new(OwnMask::over(source))
        } else {
            source
        })
    }

    pub(super) fn check_adapter(&self, index: usize) -> Result<(), PipelineError> {
        let loaded = self.adapter_count();
        match (index < loaded, loaded) {
            (true, _) => Ok(()),
            (false, 0) => Err(PipelineError::NoAdapter {
                needed: "a concept".into(),
            }),
            (false, _) => Err(PipelineError::bad_request(
                "the adapter of a concept",
                index,
                format!("below the {loaded} that are loaded"),
            )),
        }
    }
}
