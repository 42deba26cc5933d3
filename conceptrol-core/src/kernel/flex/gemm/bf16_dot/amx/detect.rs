use std::{arch::x86_64::__cpuid_count, sync::OnceLock};

/// Whether the processor has the unit, and the system lets this process use it.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| processor_has_it() && system_permits_it())
}

fn processor_has_it() -> bool {
    const BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    // Its right operands are as wide as those of AVX-512, which every such processor has, too.
    is_x86_feature_detected!("avx512f") && __cpuid_count(7, 0).edx & (BF16 | TILES) == BF16 | TILES
}

/// Asks for the unit: Linux keeps room for its large registers only on demand.
fn system_permits_it() -> bool {
    const REQUEST_PERMISSION: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call changes no memory of the process; a system that does not know it says so.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}
