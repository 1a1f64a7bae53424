//! `kappa-tpcds`: see [`kappa_tpcds`].

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kappa::serve_if_worker();
    kappa::serve_if_asked();
    kappa_tpcds::cli::main()
}
