//! Deployment of programs to AWS Lambda.
//!
//! Guarantees that a second deployment of the same changes nothing; that one that fails or is interrupted removes what it has made, and says what is left if
//! that cannot be; that one that was killed is repaired by the next, or removed by [`remove`]; and that nothing is touched that is not Kappa's.
//!
//! | file | its thought |
//! |---|---|
//! | `names` | what the parts of a function are called, and the tags by which they are known |
//! | `program` | what a program's file tells of itself |
//! | `package` | the zip, the same for the same program |
//! | `policy` | who may do what |
//! | `plan` | decides what has to be done: pure |
//! | `say` | the steps of a plan in words |
//! | `account` | the calls of AWS, one function for each |
//! | `look` | what is there |
//! | `apply` | carries a plan out, and undoes it |
//! | `remove` | removes a function with its parts |
//! | `interrupt` | Ctrl-C, heard between two calls |

pub(crate) mod account;
pub(crate) mod apply;
pub(crate) mod error;
pub(crate) mod interrupt;
pub(crate) mod look;
pub(crate) mod names;
pub(crate) mod package;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod program;
pub(crate) mod remove;
pub(crate) mod say;
