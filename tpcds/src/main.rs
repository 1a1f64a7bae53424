//! `kappa-tpcds`: see [`kappa_tpcds`].

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kappa_tpcds::cli::main()
}
