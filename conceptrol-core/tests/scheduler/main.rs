//! Schedulers: trajectories of diffusers, configurations as they are found, and what holds for every schedule.

mod config;
mod flow_match;
mod golden;
mod part;
