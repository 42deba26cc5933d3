//! Stable Diffusion 1.5 and SDXL with IP-Adapter and Conceptrol.
