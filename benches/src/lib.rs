//! What the benchmarks share: shapes, timing, peak memory.
