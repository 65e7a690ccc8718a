//! The `screener` command.

use std::alloc::System;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed: request and answer buffers, parsed bodies and libraries' own copies hold secrets, too, and a type
/// that wipes itself reaches none of them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    screener::cli::main()
}
