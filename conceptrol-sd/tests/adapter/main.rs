//! The IP-Adapter loader against `transformers` and `diffusers`.

mod case;
mod face;
mod keys;
mod projections;
mod refusals;
mod sites;
