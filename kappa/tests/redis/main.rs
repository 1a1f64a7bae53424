//! Redis as store and as state: on real servers, which are killed, paused, emptied and started again.

mod lost;
mod outage;
mod replication;
mod runs;
mod servers;
mod store;
mod tls;
