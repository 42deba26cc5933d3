//! What a page hears of its job: one JSON object a line.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Bytes;
use futures_util::{Stream, stream::unfold};
use serde::{Serialize, Serializer};
use tokio::time::timeout;

use super::{queue::Ticket, refusal::Refusal, settings::Method};

/// After so long without news an empty line is sent: a connection that is gone is noticed by writing.
const QUIET: Duration = Duration::from_secs(10);

/// Where a job stands.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum Progress {
    /// So many are before it.
    Queued {
        before: usize,
    },
    /// The model is opened.
    Opening,
    /// Prompt and reference are encoded.
    Encoding,
    /// Steps are computed.
    Denoising {
        method: Method,
        /// Steps of all its pictures that are finished, and all of them.
        done: usize,
        total: usize,
        /// Seconds that are left, about.
        left: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        preview: Option<Preview>,
    },
    /// Latents become a picture.
    Decoding {
        method: Method,
        done: usize,
        total: usize,
    },
    Done {
        pictures: Vec<Made>,
    },
    Failed(Refusal),
    Cancelled,
}

/// What the picture will be, as far as that is known after a step.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Preview {
    pub(crate) step: usize,
    /// A PNG as a `data:` URL.
    #[serde(serialize_with = "text")]
    pub(crate) picture: Arc<str>,
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// A picture that is finished.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) method: Method,
    /// Whether it was there already.
    pub(crate) reused: bool,
    pub(crate) seconds: f64,
    /// What the text encoder did not see of the prompt.
    pub(crate) truncated: Option<String>,
}

impl Progress {
    const fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed(_) | Self::Cancelled)
    }

    /// Leaves out a preview that was sent already.
    fn news(mut self, shown: &mut Option<(Method, usize)>) -> Self {
        if let Self::Denoising {
            method, preview, ..
        } = &mut self
        {
            let this = preview.as_ref().map(|preview| (*method, preview.step));
            match this == *shown {
                true => *preview = None,
                false => *shown = this,
            }
        }
        self
    }
}

/// One line.
pub(crate) fn line(progress: &Progress) -> Bytes {
    let mut line = serde_json::to_vec(progress).expect("strings and numbers can be written");
    line.push(b'\n');
    line.into()
}

/// The lines of a job, until it is over. The ticket goes with the stream, and the stream with the connection.
pub(crate) fn lines(ticket: Ticket) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let mut news = ticket.watch();
    news.mark_changed();
    unfold(Some((ticket, news, None)), |open| async {
        let (ticket, mut news, mut shown) = open?;
        let line = match timeout(QUIET, news.changed()).await {
            Err(_) => Bytes::from_static(b"\n"),
            Ok(Err(_)) => return None,
            Ok(Ok(())) => {
                let progress = news.borrow_and_update().clone().news(&mut shown);
                let line = line(&progress);
                if progress.is_last() {
                    return Some((Ok(line), None));
                }
                line
            }
        };
        Some((Ok(line), Some((ticket, news, shown))))
    })
}
