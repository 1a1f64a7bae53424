//! Looks after the runs of programs made with Kappa.

fn main() -> kappa::ExitCode {
    kappa::kappa_main()
}
