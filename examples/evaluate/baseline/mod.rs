//! The fine-tuned baseline: DreamBooth (Ruiz et al. 2023, arXiv 2208.12242) with a LoRA (Hu et al. 2021, arXiv 2106.09685)
//! on the attentions of a Stable Diffusion UNet, trained here by Burn's `autodiff`.
//!
//! It follows `train_dreambooth_lora.py` of diffusers 0.32.2: latents of a few pictures of a subject, a random timestep,
//! noise, the squared error of the prediction, and the same for pictures of the class that the model draws itself (prior
//! preservation); gradients clipped to a norm of 1 over all matrices, `AdamW`, a constant learning rate. The result is a
//! `pytorch_lora_weights.safetensors` that diffusers loads.
//!
//! A run is determined by its request: numbers of step `n` are drawn from seed and `n`, so a run that was killed goes on from
//! its last checkpoint to the same bits.
//!
//! On the embedded model the learning rate has to be high: 4e-3 for 400 steps learns a subject and keeps the other things of a
//! prompt, 1e-3 does not learn it, 1e-2 does in 100 to 200 steps and loses what stands beside it (one subject, looked at).
//!
//! | file | what |
//! |---|---|
//! | `request`, `record` | what is asked for, and what a folder is a run of |
//! | `rare_word` | the word that comes to mean the subject |
//! | `projections`, `low_rank` | the matrices of a UNet that are adapted, and their factors |
//! | `pictures` | pictures of the subject, and of its class |
//! | `draws` | the random numbers of a step |
//! | `trainer` | one step |
//! | `checkpoint`, `curve`, `file` | what is on the disk |
//! | `train` | the run |
//! | `load` | a pipeline with the result |

mod checkpoint;
mod curve;
mod draws;
mod error;
mod file;
mod load;
mod low_rank;
mod pictures;
mod projections;
mod rare_word;
mod record;
mod request;
#[cfg(test)]
mod tests;
mod train;
mod trainer;

pub(crate) use error::TrainingError;
pub(crate) use load::load_with_lora;
pub(crate) use low_rank::LowRank;
pub(crate) use rare_word::{RARE_WORD, with_rare_word};
pub(crate) use request::TrainingRequest;
pub(crate) use train::{Progress, TrainedLora, train};
pub(crate) use trainer::Losses;
#[cfg(test)]
use trainer::Rates;
use trainer::{Batch, Trainer};
