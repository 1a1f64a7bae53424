//! Lambda: the platform `aws` on an emulator that starts bootstraps as processes of this machine.
//!
//! Each test has an emulator to itself. What is tested finds it as every AWS tool does, by variables of its environment: so a test starts itself
//! once more with them, by [`inside`], or starts a program.

/// The allocator of Kappa's own programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "../platform/background.rs"]
mod background;
#[path = "../platform/conformance.rs"]
mod conformance;
mod emulator;
mod ends;
#[allow(dead_code)] // The other tests use the rest.
#[path = "../cli/program.rs"]
mod program;
#[path = "../platform/proxy.rs"]
mod proxy;
mod real;
mod runs;
#[allow(dead_code)] // The other tests use the rest.
#[path = "../platform/tasks.rs"]
mod tasks;
mod twice;
mod word_count;

/// Not a test: the lambdas of the tests are this test binary, told to run this function only.
#[test]
fn serving() {
    kappa::serve_if_worker();
}

/// A test in a process whose AWS is an emulator.
macro_rules! inside {
    ($(#[$attribute:meta])* async fn $name:ident($emulator:ident: Emulator) $body:block) => {
        $(#[$attribute])*
        #[test]
        fn $name() {
            crate::emulator::inside(concat!(module_path!(), "::", stringify!($name)), async |$emulator| $body);
        }
    };
}
pub(crate) use inside;
