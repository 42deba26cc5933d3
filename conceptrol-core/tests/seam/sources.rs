//! Mask sources made of others.

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    BatchLayout, Grid, SiteId, StepInfo,
    mask::{ConceptMask, Ema, Local, MaskNorm, Product, Random, Threshold, Union},
};

use crate::{cat, cross_call, cross_sites};

#[test]
fn combined_sources_follow_their_definitions() {
    let source = |values: [f32; 6]| {
        let row = Tensor::<1>::from_floats(values, &Device::flex()).unsqueeze();
        Constant(ConceptMask::new(row, Grid::new(2, 3)).expect("6 cells"))
    };
    let a = || source([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    let b = || source([1.0, 0.5, 0.5, 0.5, 0.5, 0.0]);
    assert_eq!(
        first_mask(Product(a(), b())),
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.0]
    );
    assert_eq!(first_mask(Union(a(), b())), [1.0, 0.5, 0.5, 0.6, 0.8, 1.0]);
    assert_eq!(
        first_mask(Threshold::new(a(), 0.6).expect("finite")),
        [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    );
    assert_eq!(
        first_mask(Ema::new(a(), 0.5).expect("in range")),
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    );
    assert!(Ema::new(a(), 1.0).is_err() && Threshold::new(a(), f32::NAN).is_err());
    let random = first_mask(Random::new(3));
    assert!(
        random.iter().all(|v| (0.0..1.0).contains(v)) && random[0] != random[1],
        "{random:?}"
    );
    let local = first_mask(Local::new().norm(MaskNorm::Mean));
    assert!(
        (local.iter().sum::<f32>() / 6.0 - 1.0).abs() < 1e-5,
        "{local:?}"
    );
}

/// The same mask at every call.
#[derive(Debug)]
struct Constant(ConceptMask);

impl conceptrol_core::mask::ConceptMaskSource for Constant {
    fn mask(
        &self,
        _: &conceptrol_core::mask::MaskQuery<'_>,
        _: &mut conceptrol_core::mask::MaskBoard,
    ) -> Result<Option<ConceptMask>, conceptrol_core::MaskError> {
        Ok(Some(self.0.clone()))
    }
}

fn first_mask(source: impl conceptrol_core::mask::ConceptMaskSource) -> Vec<f32> {
    let sites = cross_sites();
    let call = cross_call(1, 1, 0);
    let step = StepInfo::new(0, 1, 0.0);
    let probe = conceptrol_core::Probe::new(
        sites.get(SiteId::new(1)).expect("3 sites"),
        step,
        BatchLayout::unguided(1),
        &call,
    );
    let mut board = conceptrol_core::mask::MaskBoard::new(1);
    let mask = source
        .mask(
            &conceptrol_core::mask::MaskQuery::new(0, &cat(), &probe),
            &mut board,
        )
        .expect("no error")
        .expect("a mask");
    mask.values().to_data().try_to_vec().expect("f32")
}
