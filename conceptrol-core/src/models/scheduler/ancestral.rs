//! Ancestral sampling (k-diffusion): a step down too far, and fresh noise back up.

/// The level to step down to from `from`, and the noise that leads up to `to` from there.
pub(super) fn split(from: f32, to: f32) -> [f32; 2] {
    let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
    let down = (to * to - up * up).max(0.0).sqrt();
    [down, up]
}
