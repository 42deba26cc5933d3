use std::{any::Any, fmt};

use crate::Failure;

/// One of several ways to do something, which take turns.
pub struct Way<'a> {
    pub(super) name: String,
    pub(super) flops: f64,
    run: Run<'a>,
}

type Run<'a> = Box<dyn FnMut() -> Result<Box<dyn Any>, Failure> + 'a>;

impl<'a> Way<'a> {
    /// A way, and the work. Its result is kept until the device has finished.
    pub fn new<T: 'static>(
        name: impl Into<String>,
        mut work: impl FnMut() -> Result<T, Failure> + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            flops: 0.0,
            run: Box::new(move || Ok(Box::new(work()?))),
        }
    }

    /// Floating-point operations of one run by the textbook.
    #[must_use]
    pub fn flops(self, flops: f64) -> Self {
        Self { flops, ..self }
    }

    pub(super) fn run(&mut self) -> Result<Box<dyn Any>, Failure> {
        (self.run)()
    }
}

impl fmt::Debug for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
