//! Models of the Hugging Face hub, with bars while their files arrive.

use std::{error::Error, path::PathBuf};

use conceptrol_core::hub::{Hub, ModelId, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// The folder of a model, whose files are fetched if they are not in the cache.
///
/// # Errors
///
/// If the hub refuses, or cannot be reached.
pub fn fetch(id: &ModelId, variant: Option<&str>) -> Result<PathBuf, Box<dyn Error>> {
    let hub = Hub::from_env()?;
    let hub = match variant {
        Some(variant) => hub.variant(variant),
        None => hub,
    };
    Ok(hub.model(id, &mut Bar::default())?)
}

/// A bar for the file that arrives.
#[derive(Debug, Default)]
struct Bar(Option<ProgressBar>);

impl Progress for Bar {
    fn begin(&mut self, file: &str, bytes: u64) {
        // begun again where a connection broke
        let bar = self.0.take().unwrap_or_else(|| ProgressBar::new(bytes));
        let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_length(bytes);
        bar.set_position(0);
        bar.set_message(file.to_owned());
        self.0 = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish();
        }
    }
}
