//! SQL over files, on tasks that may be killed at any moment: see `kappa-sql --help`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kappa::serve_if_worker();
    kappa::serve_if_asked();
    kappa_query::cli::main()
}
