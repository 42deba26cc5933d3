//! Personalise a picture.
fn main() {}
