//! The command line of programs made with Kappa: [`main`] for a program that is one task, [`RunOptions`] for those that have options of their own.
//!
//! Guarantees of [`main`]: whatever goes wrong is one message on stderr and a non-zero exit code (1 if the run failed, 2 if the command line makes no
//! sense, 130 if it was interrupted by Ctrl-C, 143 by SIGTERM). The result, and nothing else, goes to stdout, as JSON.
//!
//! Every such program can also list, show, draw, cancel and remove the runs of a state directory; the binary `kappa` does the same without being the program of
//! those runs.

#[cfg(feature = "aws")]
mod deploy;
mod input;
mod inspect;
mod kappa;
mod options;
mod parse;
mod progress;
mod replicas;
mod run;
mod serve;
mod terminal;
mod troubles;

pub use inspect::Inspection;
pub use kappa::kappa_main;
pub use options::{LinkKind, OptionsError, PlatformKind, RunOptions, names_servers, shown_place};
pub use run::main;
pub use serve::serve_if_asked;
pub use terminal::{harmless, is_ignored};
pub use troubles::Troubles;
