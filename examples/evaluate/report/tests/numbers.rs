//! Numbers of summaries.
