//! FLUX with OminiControl and Conceptrol.
