//! S3 as a store and as a place for objects: on real servers, with workers and coordinator killed.

#![cfg(feature = "aws")]

mod bucket;
mod proxy;
mod put_object;
mod runs;
