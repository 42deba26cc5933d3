/// Bytes of a huge page.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;

/// Asks the system to back large memory that was not touched yet with huge pages: it is then fetched 2 MiB at a time and not 4 KiB. Elsewhere
/// than on Linux, and for memory that holds no such page, nothing happens.
pub(crate) fn prefer_huge<T>(memory: &[T]) {
    #[cfg(target_os = "linux")]
    {
        let bytes = memory.as_ptr_range();
        let start = (bytes.start as usize).next_multiple_of(HUGE);
        let end = bytes.end as usize / HUGE * HUGE;
        if start < end {
            // SAFETY: whole pages inside of `memory`; the advice changes no content. That it may be refused does not matter.
            unsafe { libc::madvise(start as *mut _, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}
