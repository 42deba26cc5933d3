//! The matrices of a UNet that are adapted, under the names that diffusers gives them.

use burn::{
    module::{LoraAdapter, Module, Param, Reparameterizer},
    tensor::Tensor,
};
use conceptrol_sd::unet::UNet2DConditionModel;

/// The projections of an attention: the end of a parameter's path here, and of its name in diffusers.
const PROJECTIONS: [[&str; 2]; 4] = [
    [".to_q.weight", ".to_q"],
    [".to_k.weight", ".to_k"],
    [".to_v.weight", ".to_v"],
    // Entry 1 of diffusers' list is a dropout.
    [".to_out.weight", ".to_out.0"],
];

/// A projection: its name, and `[out, in]`.
pub(super) type Projection = (String, [usize; 2]);

/// The query, key, value and output projections of every attention, in the order they are executed.
pub(super) fn projections(unet: &UNet2DConditionModel) -> Vec<Projection> {
    let mut found = Vec::new();
    let list = |name: &str, weight: Tensor<2>| {
        found.push((name.to_owned(), weight.dims()));
        None
    };
    reparameterized(unet.clone(), list);
    found
}

/// Every matrix that is adapted, in the order they are executed.
pub(super) fn weights(unet: &UNet2DConditionModel, mut visit: impl FnMut(Tensor<2>)) {
    let each = |_: &str, weight: Tensor<2>| {
        visit(weight);
        None
    };
    reparameterized(unet.clone(), each);
}

/// The UNet with `W + up down` instead of `W` for each projection that `adapter` has factors for.
///
/// Burn puts the sum together whenever the weight is used. The matrices themselves are shared with the UNet they come from, and
/// no gradient flows to them.
pub(super) fn reparameterized(
    unet: UNet2DConditionModel,
    adapter: impl FnMut(&str, Tensor<2>) -> Option<LoraAdapter>,
) -> UNet2DConditionModel {
    let sites = unet.attention_sites();
    // Modules are walked in the order they are executed, and so are sites listed.
    let sites: Vec<String> = sites.iter().map(|site| site.name.clone()).collect();
    unet.apply_reparameterization(Attach {
        sites: sites.into_iter(),
        site: String::new(),
        adapter,
    })
}

/// Walks the parameters and knows at which attention it is.
struct Attach<S, F> {
    sites: S,
    site: String,
    adapter: F,
}

impl<S, F> Reparameterizer for Attach<S, F>
where
    S: Iterator<Item = String>,
    F: FnMut(&str, Tensor<2>) -> Option<LoraAdapter>,
{
    type Reparam = LoraAdapter;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<LoraAdapter>) {
        let projection = PROJECTIONS.iter().position(|[end, _]| path.ends_with(end));
        let Some(projection) = projection else {
            return (param, None);
        };
        if projection == 0 {
            self.site = self.sites.next().expect("an attention for every site");
        }
        let name = format!("{}{}", self.site, PROJECTIONS[projection][1]);
        let weight = param.val();
        let [d_out, d_in] = weight.shape().dims();
        let adapter = (self.adapter)(&name, weight.reshape([d_out, d_in]));
        (param, adapter)
    }
}
