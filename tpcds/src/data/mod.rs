//! The data of TPC-DS: which tables there are, how they are made, and where they are kept.
//!
//! A data folder holds one folder per table (`store_sales/part-0001.parquet`, ...). A table is either there and complete, or not there:
//! see [`generate`](fn@generate).

mod folder;
mod generate;
mod scale;
mod tables;

pub use folder::{DataFolder, FolderError, cache_folder};
pub use generate::{GenerateError, Generated, Options, generate};
pub use scale::{InvalidScale, Scale};
pub use tables::{TABLES, Table};
