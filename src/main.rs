//! The `screener` command.

use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed: request and answer buffers, parsed bodies and libraries' own copies hold secrets, too, and a type
/// that wipes itself reaches none of them.
///
/// Below it jemalloc: glibc's threads wait for each other where one frees what another has made, as at a start, and its
/// heaps keep what they once held (`docs/measurements/allocators-2026-11-27.md`).
#[global_allocator]
static ALLOCATOR: ZeroAlloc<Jemalloc> = ZeroAlloc(Jemalloc);

fn main() -> std::process::ExitCode {
    screener::cli::main()
}
