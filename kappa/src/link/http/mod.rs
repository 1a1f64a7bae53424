//! Calls by HTTP, for workers that no socket reaches.
//!
//! # What it guarantees
//!
//! * Nobody without the run's secret is heard: a request without it is refused (401) before a byte of its body is read. A secret is 256 bits
//!   from the operating system, compared in constant time, and never printed. It lives as long as anything of the run is running, and reaches
//!   a worker inside its invocation: not in `argv`, not in the environment, not in a log.
//! * The server listens on loopback unless it is told otherwise. Server and client speak plain HTTP, and nothing else: where others can listen,
//!   a private network, a VPN or a tunnel has to lie between them; [advertise](HttpOptions::advertise) the `http://` address that leads through it.
//! * Whatever comes over the wire is bounded and checked: connections, headers, bodies, all bodies together, and the time that each of them
//!   takes. Junk is answered by a 4xx, and nothing that is sent makes the server panic or grow.
//! * A call is delivered at least once, and the coordinator sorts out duplicates. So the client repeats whatever got no clear answer, with
//!   growing and jittered pauses, for a bounded time.
//! * An invocation that was delivered to two workers is heard from one. Whatever invokes functions over a network may deliver twice, and two workers
//!   that run the same code need not do the same: so each says a number of its own with every call (`D`), and all but the one that was heard first
//!   are [fenced](crate::protocol::Reply::Fenced). A report that names its worker's number is heard as a call is, or else not believed.
//! * A worker that cannot deliver its call does not lose it: it ends with the request in hand
//!   ([`Unlinked`](crate::protocol::InvocationOutcome::Unlinked)), the platform reports that as it reports every end, and the coordinator applies
//!   the call and starts the next invocation. Slower, never wrong, and no failure of the program.
//!
//! # How
//!
//! ```text
//! POST /runs/{run}/calls        200        any number of bytes 0: the call waits, and so should the worker
//! authorization: Bearer SECRET             a byte 1, then the Reply as postcard
//! kappa-protocol: 2             400        the body is no request
//! kappa-delivery: D             401        not this run's secret, or nothing of the run is running here
//! content-length: N             404, 405   anything but the above
//!                               408, 503   too slow; no room at present
//! the Request as postcard       411, 413   no length; too long
//!                               426        another version of the protocol
//! ```
//!
//! A call is held as long as the coordinator holds it (a blocked task within its grace). Meanwhile a byte a second says that the connection
//! lives: so a worker tells a call that takes long from a coordinator that is gone.
//!
//! | file | its thought |
//! |---|---|
//! | `secret` | what a worker must know to be heard |
//! | `server` | who is heard, and how many of them |
//! | `call` | one request, from its headers to its reply |
//! | `stalled` | a connection whose other end does not read is given up |
//! | `client` | tries, tries again, and leaves with the request in hand |

mod call;
mod client;
mod secret;
mod server;
mod stalled;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use client::HttpLink;
pub(crate) use client::{HttpClient, Left, with_causes};
pub use secret::Secret;
pub use server::{HttpOptions, HttpServer, Opened};
pub(crate) use stalled::Stalled;

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version of what is said: of the messages in [`protocol`](crate::protocol) and of the frame around them. It grows with every change.
const VERSION: &str = "2";

/// The header, of requests and responses, that names the version.
const VERSION_HEADER: &str = "kappa-protocol";

/// The header of requests that tells apart two workers which were given the same invocation.
const DELIVERY_HEADER: &str = "kappa-delivery";

/// In a response: the call waits.
const STILL_WAITING: u8 = 0;

/// In a response: the reply follows.
const REPLY_FOLLOWS: u8 = 1;

/// How a worker is heard: where, by which secret, and how long it tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Address of the coordinator: `http://HOST:PORT`, perhaps with the beginning of a path.
    pub url: String,
    /// The run's secret.
    pub secret: Secret,
    /// How long a worker tries to deliver a call without a sign of life.
    pub patience: Duration,
    /// Longest request and longest reply in bytes.
    pub message_limit: usize,
}

impl Access {
    /// How long one attempt waits for a sign of life.
    fn silence(&self) -> Duration {
        self.patience / 3
    }
}

/// How often a call that waits is told so: several times within the silence that a worker bears.
fn heartbeat(patience: Duration) -> Duration {
    patience / 10
}

/// What is said of a message that is not sent because of its length.
fn too_long(length: usize, limit: usize) -> String {
    format!(
        "a message of {length} bytes is longer than the {limit} bytes that are sent at once; pass less at once, or put it into the store"
    )
}
