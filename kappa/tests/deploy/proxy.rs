//! Between a command and the emulator: it counts the requests, and does something to the command, or to the answer, at one of them.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process gets this signal when its request number `at` has come; the request takes effect all the same.
    Signal { at: usize, signal: Signal },
    /// The process is killed before its request number `at` takes effect.
    KilledBefore { at: usize },
    /// The process is killed after its request number `at` has taken effect, and before the answer.
    KilledAfter { at: usize },
    /// Requests to create a function are refused so often, as Lambda does while it does not know the role.
    RoleUnknown { times: usize },
    /// Requests to create a function are refused so often, as Lambda does while there are too many.
    Throttled { times: usize },
    /// Request number `at` takes effect, and its connection ends without an answer.
    AnswerLost { at: usize },
    /// None.
    None,
}

/// A proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    seen: Arc<Seen>,
    _runtime: tokio::runtime::Runtime,
}

struct Seen {
    fault: Fault,
    upstream: String,
    client: reqwest::Client,
    process: AtomicI32,
    count: AtomicUsize,
    refused: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl Proxy {
    pub(crate) fn start(upstream: String, fault: Fault) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let seen = Arc::new(Seen {
            fault,
            upstream,
            client: reqwest::Client::new(),
            process: AtomicI32::new(0),
            count: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            requests: Mutex::default(),
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass).with_state(seen.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Proxy {
            endpoint,
            seen,
            _runtime: runtime,
        }
    }

    /// Whom the fault is for.
    pub(crate) fn of_process(&self, process: u32) {
        self.seen
            .process
            .store(i32::try_from(process).unwrap(), Ordering::SeqCst);
    }

    /// How many requests there were.
    pub(crate) fn count(&self) -> usize {
        self.seen.count.load(Ordering::SeqCst)
    }

    /// Methods and paths.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().clone()
    }
}

async fn pass(State(seen): State<Arc<Seen>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let number = seen.count.fetch_add(1, Ordering::SeqCst) + 1;
    seen.requests.lock().push(format!("{method} {uri}"));
    let is_creation = method == Method::POST && uri.path() == "/2015-03-31/functions";
    let is_among_first = |times| is_creation && seen.refused.fetch_add(1, Ordering::SeqCst) < times;
    match seen.fault {
        Fault::Signal { at, signal } if at == number => seen.signal(signal).await,
        Fault::KilledBefore { at } if at == number => {
            seen.signal(Signal::SIGKILL).await;
            std::future::pending::<()>().await;
        }
        Fault::RoleUnknown { times } if is_among_first(times) => {
            let message = "The role defined for the function cannot be assumed by Lambda.";
            return refusal(400, "InvalidParameterValueException", message);
        }
        Fault::Throttled { times } if is_among_first(times) => {
            return refusal(429, "TooManyRequestsException", "Rate exceeded.");
        }
        _ => {}
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = seen
        .client
        .request(method, format!("{}{path}", seen.upstream))
        .body(body);
    for (name, value) in &headers {
        let is_of_connection =
            ["host", "content-length", "connection", "transfer-encoding", "expect"].contains(&name.as_str());
        if !is_of_connection {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let content = answer.bytes().await.unwrap();
    if seen.fault == (Fault::KilledAfter { at: number }) {
        seen.signal(Signal::SIGKILL).await;
        std::future::pending::<()>().await;
    }
    if seen.fault == (Fault::AnswerLost { at: number }) {
        // The task that serves the connection ends, and the connection with it; no hook says anything about that.
        std::panic::resume_unwind(Box::new("the answer is lost"));
    }
    let mut response = Response::builder().status(status);
    for (name, value) in &headers {
        if !["content-length", "connection", "transfer-encoding"].contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    response.body(Body::from(content)).unwrap()
}

/// As Lambda refuses something.
fn refusal(status: u16, kind: &str, message: &str) -> Response {
    Response::builder()
        .status(status)
        .header("x-amzn-errortype", kind)
        .body(Body::from(format!(r#"{{"Type": "User", "message": "{message}"}}"#)))
        .unwrap()
}

impl Seen {
    async fn signal(&self, signal: Signal) {
        // The test says whom as soon as it knows.
        while self.process.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // It may be over.
        let _ = kill(Pid::from_raw(self.process.load(Ordering::SeqCst)), signal);
        // It hears that before it hears the answer.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
