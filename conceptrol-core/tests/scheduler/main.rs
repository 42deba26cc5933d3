//! Schedulers: trajectories of diffusers, and configurations as they are found.

mod config;
mod golden;
