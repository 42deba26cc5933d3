//! References that see themselves alone: their keys and values are computed once, and nothing else changes.

use conceptrol_core::{
    Projected, SiteId,
    message::chain,
    pipeline::{LoadOptions, Mode, Pipeline, Residency, Silent},
    processors::ReferenceSight,
};
use conceptrol_flux::{
    Flux,
    pipeline::{FluxOptions, Kind, Request},
};

use crate::tiny::{bare, difference, flux, latents, model, open, options, redux, request};

fn independent(mut options: LoadOptions<FluxOptions>) -> LoadOptions<FluxOptions> {
    options.extra = options.extra.independent_conditions(true);
    options
}

fn alone(request: Request) -> Request {
    let mut request = request;
    request.extra.references_see = ReferenceSight::Themselves;
    request
}

#[test]
fn kept_keys_and_values_are_those_of_every_step() {
    let computed = flux();
    for residency in [Residency::Memory, Residency::Disk] {
        let kept = open(independent(options()).residency(residency));
        let mixed = request().true_cfg_scale(2.0).negative_prompt("a man");
        for request in [
            request().steps(3),
            request().mode(Mode::Adapter),
            request().images_per_prompt(2),
            request().scale(0.6),
            mixed,
        ] {
            let expected = latents(&computed, &alone(request.clone()));
            let found = latents(&kept, &request);
            let off = difference(&found, &expected);
            assert!(off < 2e-6, "{off}");
            assert!(difference(&latents(&computed, &request), &expected) > 1e-5);
        }
        // without references there is nothing to keep
        let text = request().mode(Mode::TextOnly);
        assert_eq!(latents(&kept, &text), latents(&computed, &text));
    }
}

#[test]
fn every_site_keeps_the_tokens_of_the_references() {
    let kept = open(independent(options()));
    let request = request();
    let plan = kept.plan(&request).expect("a plan");
    let conditioning = kept.condition(&request).expect("conditioned");
    let run = kept.denoise(&plan, &request, &conditioning, &mut Silent);
    let (_, session) = run.expect("latents");
    let tokens: usize = (conditioning.states.conditions.iter())
        .map(|condition| condition.grid.cells())
        .sum();
    for site in 0..session.sites().len() {
        let pair = session.kept(SiteId::new(site), Projected::Conditions);
        let (k, v) = pair.expect("kept");
        assert_eq!([k.dims()[2], v.dims()[2]], [tokens; 2]);
    }
}

#[test]
fn it_is_for_ominicontrol() {
    let mut kontext = independent(bare());
    kontext.extra = kontext.extra.kind(Kind::Kontext);
    for options in [
        kontext,
        independent(bare().adapter(redux())),
        independent(options().adapter(redux())),
    ] {
        let error = Flux::open(model(), options).expect_err("refused");
        let message = chain(&error);
        assert!(message.contains("independent conditions"), "{message}");
    }
    let mut scaled = options();
    scaled.extra = scaled.extra.position_scale(0.0);
    let error = Flux::open(model(), scaled).expect_err("refused");
    assert_eq!(
        chain(&error),
        "the scale of positions is 0, it must be above 0"
    );
}
