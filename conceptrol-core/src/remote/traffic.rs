use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What went over a connection so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages to the server, each a list of operations.
    pub sent: u64,
    /// Their bytes, with the frames around them.
    pub sent_bytes: u64,
    /// Answers: each was waited for.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
}

impl Traffic {
    /// What came since an earlier time.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            sent_bytes: self.sent_bytes - before.sent_bytes,
            received: self.received - before.received,
            received_bytes: self.received_bytes - before.received_bytes,
        }
    }
}

/// One direction, counted while it flows.
#[derive(Debug, Default)]
pub(super) struct Flow {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Flow {
    pub(super) fn add(&self, messages: u64, bytes: usize) {
        self.messages.fetch_add(messages, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}
