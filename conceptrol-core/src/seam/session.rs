//! The session: everything that changes during one generation.

use std::collections::{BTreeMap, btree_map::Entry};

use burn::tensor::{Device, Tensor};

use crate::{
    cancel::Cancel,
    concept::Concept,
    mask::MaskBoard,
    seam::{
        Adaptation, AttentionCall, AttentionContext, AttentionError, AttentionPlan, AttentionSites,
        BatchLayout, BlockEnd, CacheKey, Captures, ConditionSchedule, ConvolutionShape, Grid,
        Ground, InstallError, LowRank, Projected, ProjectionCache, SiteId, StepInfo, gating,
    },
};

/// The state of one generation: its step, published masks, cached keys and values, captures.
///
/// Created per generation and dropped with it: nothing leaks into the next picture. A model
/// sees [`attend`](Self::attend) at its attentions with [`constant`](Self::constant), [`end_block`](Self::end_block) where
/// blocks end, and, if its modules can be adapted, [`adapt`](Self::adapt).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::{
///     AttentionCall, AttentionPlan, AttentionSite, AttentionSites, BatchLayout, Grid, Session, SiteId, SiteKind,
/// };
///
/// let sites = AttentionSites::new([AttentionSite::new("attn1", SiteKind::SelfAttention, 2, 8, 1)]);
/// let plan = AttentionPlan::plain(&sites);
/// let mut session = Session::new(&plan, BatchLayout::unguided(1), [])?;
/// let x = Tensor::<4>::ones([1, 2, 16, 8], &Device::flex()); // [rows, heads, tokens, head_dim]
/// let out = session.attend(SiteId::new(0), AttentionCall::self_attention(x.clone(), x.clone(), x, Grid::new(4, 4)))?;
/// assert_eq!(out.dims(), [1, 2, 16, 8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session {
    plan: AttentionPlan,
    batch: BatchLayout,
    concepts: Vec<Concept>,
    condition: ConditionSchedule,
    step: StepInfo,
    board: MaskBoard,
    cache: ProjectionCache,
    block_end: BlockEnd,
    captures: Captures,
    cancel: Cancel,
    /// Sessions of models that are evaluated beside this one's.
    guests: BTreeMap<usize, Self>,
}

impl Session {
    /// A session for one generation of `batch` with these concepts.
    ///
    /// # Errors
    ///
    /// [`InstallError`] for an empty batch, a concept without tokens, with a scale that is not
    /// finite, or with spans or reference tokens for another number of images.
    pub fn new(
        plan: &AttentionPlan,
        batch: BatchLayout,
        concepts: impl IntoIterator<Item = Concept>,
    ) -> Result<Self, InstallError> {
        if batch.images == 0 {
            return Err(InstallError::EmptyBatch);
        }
        let concepts: Vec<Concept> = concepts.into_iter().collect();
        let named = plan
            .adaptations()
            .iter()
            .filter_map(|adaptation| adaptation.concept);
        if let Some(index) = named.max().filter(|index| *index >= concepts.len()) {
            return Err(InstallError::OutOfRange {
                name: "the concept of an adaptation",
                value: f64::from(u32::try_from(index).unwrap_or(u32::MAX)),
                expected: "below the number of concepts",
            });
        }
        for concept in &concepts {
            concept.check(batch)?;
        }
        Ok(Self {
            plan: plan.clone(),
            batch,
            board: MaskBoard::new(concepts.len()),
            concepts,
            condition: ConditionSchedule::default(),
            step: StepInfo::new(0, 1, 0.0),
            cache: ProjectionCache::default(),
            block_end: BlockEnd::default(),
            captures: Captures::default(),
            cancel: Cancel::default(),
            guests: BTreeMap::new(),
        })
    }

    /// Sets how strongly the image condition acts over the steps.
    pub const fn condition(mut self, condition: ConditionSchedule) -> Self {
        self.condition = condition;
        self
    }

    /// Changes how strongly the image condition acts, from the next call on.
    pub const fn set_condition(&mut self, condition: ConditionSchedule) {
        self.condition = condition;
    }

    /// Sets the byte budget of captures.
    pub fn with_captures(mut self, captures: Captures) -> Self {
        self.captures = captures;
        self
    }

    /// Sets what stops the generation: the next call is then an error.
    pub fn cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Starts the next evaluation of the denoiser. Published masks stay.
    pub const fn begin_step(&mut self, step: StepInfo) {
        self.step = step;
    }

    /// Computes one attention call of the model.
    ///
    /// # Errors
    ///
    /// [`AttentionError::At`], which names the site and the layers down to the one that failed.
    pub fn attend(
        &mut self,
        site: SiteId,
        call: AttentionCall,
    ) -> Result<Tensor<4>, AttentionError> {
        let unknown = AttentionError::UnknownSite {
            site: site.index(),
            sites: self.plan.sites().len(),
        };
        let (site, processor) = self.plan.entry(site).ok_or(unknown)?;
        if self.cancel.is_cancelled() {
            return Err(AttentionError::Cancelled.at(site));
        }
        let [rows, ..] = call.query.dims();
        if rows != self.batch.rows() {
            let expected = self.batch.rows();
            return Err(AttentionError::WrongBatch { rows, expected }.at(site));
        }
        if let Some((before, _)) = self.block_end.waiting().and_then(|id| self.plan.entry(id)) {
            let before = before.name.clone();
            return Err(AttentionError::UnendedBlock { site: before }.at(site));
        }
        let mut cx = AttentionContext {
            site,
            step: self.step,
            batch: self.batch,
            concepts: &self.concepts,
            condition_strength: self.condition.at(self.step),
            board: &mut self.board,
            cache: &mut self.cache,
            block_end: &mut self.block_end,
            captures: &mut self.captures,
        };
        processor
            .attend(call, &mut cx)
            .map_err(|error| error.at(site))
    }

    /// The rows of a block at its end, with what processors at its attention have [left](BlockEnd) for the latents among
    /// them. Models whose sites [have a block end](crate::AttentionSite::has_block_end) call it after the feed-forward part.
    ///
    /// # Shapes
    ///
    /// `rows` `[rows, tokens, width]`, the tokens being those of `ground`
    pub fn end_block(&mut self, rows: Tensor<3>, ground: Ground) -> Tensor<3> {
        self.block_end.apply(rows, ground)
    }

    /// Whether the plan adds anything to the output of a module at this step. Models ask before they call [`adapt`](Self::adapt).
    pub fn adapts(&self, module: &str) -> bool {
        let mut adaptations = self.plan.adaptations().iter();
        adaptations.any(|adaptation| {
            adaptation.strength.at(self.step) != 0.0 && adaptation.modules.contains_key(module)
        })
    }

    /// The output of a linear layer with what the plan adds to it, computed from its input.
    ///
    /// # Shapes
    ///
    /// `input` `[rows, tokens, in]`, `output` `[rows, tokens, out]`
    pub fn adapt(
        &mut self,
        module: &str,
        ground: Ground,
        input: &Tensor<3>,
        output: Tensor<3>,
    ) -> Tensor<3> {
        let [_, tokens, _] = output.dims();
        self.additions(module, ground, tokens, &output.device())
            .into_iter()
            .fold(output, |output, (change, strength, gate)| {
                let gate = gate.map(|gate| gate.unsqueeze_dim(2));
                plus(output, change.tokens(input.clone()), strength, gate)
            })
    }

    /// The same for a convolution.
    ///
    /// # Shapes
    ///
    /// `input` `[rows, in, height, width]`, `output` `[rows, out, ..]`
    pub fn adapt_convolution(
        &mut self,
        module: &str,
        shape: ConvolutionShape,
        input: &Tensor<4>,
        output: Tensor<4>,
    ) -> Tensor<4> {
        let [_, _, height, width] = output.dims();
        let grid = Grid::new(height, width);
        self.additions(
            module,
            Ground::Latents(grid),
            grid.cells(),
            &output.device(),
        )
        .into_iter()
        .fold(output, |output, (change, strength, gate)| {
            let gate = gate.map(|gate| {
                let [rows, _] = gate.dims();
                gate.reshape([rows, 1, height, width])
            });
            plus(output, change.pixels(input.clone(), shape), strength, gate)
        })
    }

    /// The changes of a module that act at this step, with strength and gate `[rows, tokens]`.
    fn additions(
        &mut self,
        module: &str,
        ground: Ground,
        tokens: usize,
        device: &Device,
    ) -> Vec<(LowRank, f32, Option<Tensor<2>>)> {
        let mut additions = Vec::new();
        for adaptation in self.plan.adaptations() {
            let strength = adaptation.strength.at(self.step);
            let Some(changes) = adaptation.modules.get(module).filter(|_| strength != 0.0) else {
                continue;
            };
            let gate = match adaptation.concept {
                None => None,
                Some(index) => {
                    let (board, batch) = (&mut self.board, self.batch);
                    let gate = self.concepts.get(index).and_then(|concept| {
                        gating::gate(concept, index, ground, tokens, batch, board, device)
                    });
                    // it does not act here, or not yet
                    let Some(gate) = gate else { continue };
                    Some(gate)
                }
            };
            let changes = changes.iter().cloned();
            additions.extend(changes.map(|change| (change, strength, gate.clone())));
        }
        additions
    }

    /// Keys and values of what is the same at every step, projected by these modules at the first call, kept for the rest of
    /// the generation; projected at every call if the plan adds to one of the modules with a strength that changes.
    pub fn constant(
        &mut self,
        site: SiteId,
        modules: &[&str],
        project: impl FnOnce(&mut Self) -> (Tensor<4>, Tensor<4>),
    ) -> (Tensor<4>, Tensor<4>) {
        let key = CacheKey::new(site, Projected::Text);
        if let Some(kept) = self.cache.get(key) {
            return kept;
        }
        let projected = project(self);
        let changes = |adaptation: &Adaptation| {
            let mut modules = modules.iter();
            !adaptation.strength.is_constant()
                && modules.any(|module| adaptation.modules.contains_key(*module))
        };
        if !self.plan.adaptations().iter().any(changes) {
            self.cache.keep(key, projected.clone());
        }
        projected
    }

    /// The session of another model that is evaluated in this generation, a `ControlNet` say: its own plan, sites and kept keys
    /// and values, at this session's step. It is made at the first call for its number and lasts as long as this session.
    ///
    /// # Errors
    ///
    /// Those of [`Session::new`].
    pub fn guest(
        &mut self,
        number: usize,
        batch: BatchLayout,
        plan: impl FnOnce() -> AttentionPlan,
    ) -> Result<&mut Self, InstallError> {
        let (step, cancel) = (self.step, &self.cancel);
        let guest = match self.guests.entry(number) {
            Entry::Occupied(guest) => guest.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Self::new(&plan(), batch, [])?.cancel(cancel.clone()))
            }
        };
        guest.begin_step(step);
        Ok(guest)
    }

    /// Where a concept acts on a grid, for every row, its peak 1: the mask that was published last, within the user's own or
    /// replaced by it. Nothing before the first, and if there is no such concept.
    ///
    /// # Shapes
    ///
    /// -> `[rows, cells]`
    pub fn place(&mut self, concept: usize, grid: Grid, device: &Device) -> Option<Tensor<2>> {
        let asked = self.concepts.get(concept)?;
        let (ground, cells, board) = (Ground::Latents(grid), grid.cells(), &mut self.board);
        gating::gate(asked, concept, ground, cells, self.batch, board, device)
    }

    /// Keys and values that were [kept](Self::keep) at a site.
    pub fn kept(&self, site: SiteId, source: Projected) -> Option<(Tensor<4>, Tensor<4>)> {
        self.cache.get(CacheKey::new(site, source))
    }

    /// Keeps keys and values that are the same at every step, for the rest of the generation.
    pub fn keep(&mut self, site: SiteId, source: Projected, pair: (Tensor<4>, Tensor<4>)) {
        self.cache.keep(CacheKey::new(site, source), pair);
    }

    /// The rows of the generation.
    pub const fn batch(&self) -> BatchLayout {
        self.batch
    }

    /// The current step.
    pub const fn step(&self) -> StepInfo {
        self.step
    }

    /// Strength of the image condition at the current step.
    pub fn condition_strength(&self) -> f32 {
        self.condition.at(self.step)
    }

    /// The concepts of the generation.
    pub fn concepts(&self) -> &[Concept] {
        &self.concepts
    }

    /// Published concept masks.
    pub const fn board(&self) -> &MaskBoard {
        &self.board
    }

    /// What was captured so far.
    pub const fn captures(&self) -> &Captures {
        &self.captures
    }

    /// The sites of the model.
    pub fn sites(&self) -> &AttentionSites {
        self.plan.sites()
    }

    /// Ends the generation and hands out what was captured.
    pub fn finish(self) -> Captures {
        self.captures
    }
}
/// `output + strength * gate * added`; no gate is one of ones.
fn plus<const D: usize>(
    output: Tensor<D>,
    added: Tensor<D>,
    strength: f32,
    gate: Option<Tensor<D>>,
) -> Tensor<D> {
    let added = if strength == 1.0 {
        added
    } else {
        added.mul_scalar(strength)
    };
    match gate {
        Some(gate) => {
            let gate = gate.cast(output.dtype());
            output + added * gate
        }
        None => output + added,
    }
}
