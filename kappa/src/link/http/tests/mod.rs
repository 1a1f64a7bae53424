//! Server and client over loopback, with everything that can go wrong between them.

mod client;
mod server;

use super::*;
use crate::ids::{RunId, TaskId};
use crate::link::Link;
use crate::protocol::{Answer, Call, Invocation, Payload, Reply, Request, Start};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Remembers what it was sent, and answers each request after a while.
#[derive(Default)]
struct Recorder {
    requests: Mutex<Vec<Request>>,
    delay: Duration,
}

impl Recorder {
    fn after(delay: Duration) -> Arc<Self> {
        Arc::new(Recorder {
            requests: Mutex::default(),
            delay,
        })
    }

    fn count(&self) -> usize {
        self.requests.lock().len()
    }
}

#[async_trait]
impl Link for Recorder {
    async fn send(&self, request: Request) -> Reply {
        let sequence = request.sequence;
        self.requests.lock().push(request);
        tokio::time::sleep(self.delay).await;
        Reply::Answer(Answer::Spawned(vec![TaskId(sequence)]))
    }
}

/// What [`Recorder`] answers.
fn answer_to(sequence: u64) -> Reply {
    Reply::Answer(Answer::Spawned(vec![TaskId(sequence)]))
}

fn invocation(run: RunId) -> Invocation {
    Invocation {
        run,
        task: TaskId(3),
        incarnation: 1,
        function: "f".into(),
        start: Start::Begin(Payload::Inline(Bytes::new())),
        last_sequence: 0,
        time_limit: None,
    }
}

fn request(sequence: u64) -> Request {
    Request {
        task: TaskId(3),
        incarnation: 1,
        sequence,
        deferred: Vec::new(),
        continuation: Payload::Inline(Bytes::from_static(b"here")),
        call: Call::Checkpoint,
    }
}

/// A server with an invocation that it hears.
struct Place {
    server: HttpServer,
    link: Arc<Recorder>,
    run: RunId,
    opened: Opened,
}

impl Place {
    fn new(options: HttpOptions, link: Arc<Recorder>) -> Self {
        let server = HttpServer::start(options).unwrap();
        let run = RunId::generate();
        let opened = server.open(&invocation(run), link.clone()).unwrap();
        Place {
            server,
            link,
            run,
            opened,
        }
    }

    /// The way of the invocation's worker.
    fn link(&self) -> (Arc<super::client::HttpLink>, oneshot::Receiver<Left>) {
        link_to(self.run, self.opened.access())
    }
}

fn link_to(run: RunId, access: &Access) -> (Arc<super::client::HttpLink>, oneshot::Receiver<Left>) {
    Arc::new(HttpClient::new()).link(&invocation(run), access).unwrap()
}

/// Impatient, so that tests are short.
fn impatient(patience: Duration) -> HttpOptions {
    HttpOptions {
        patience,
        ..HttpOptions::default()
    }
}
