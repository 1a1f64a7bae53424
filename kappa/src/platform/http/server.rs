//! The endpoint: takes orders by HTTP and has worker processes carry them out.
//!
//! Guarantees that nobody is heard without the secret, before a byte of a body is read (r12); that everything which comes over the wire is bounded:
//! connections, headers, bodies, orders at once, and the time that each of them takes; that an order whose connection is gone is killed; and
//! that on its way to its end it takes no further order, and lets those that it has come to theirs, for a while.

use super::secret::FunctionSecret;
use super::{SECRET_VARIABLE, WORKER_HEADER};
use crate::link::http::Stalled;
use crate::platform::PlatformError;
use crate::platform::process::{OrderPool, ProcessOptions};
use crate::platform::remote::{NoMessage, Order, decode, encode};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest request line and headers together, in bytes. Providers add some of their own.
const LONGEST_HEAD: usize = 64 * 1024;

/// How long accepting rests when the system has no room for another connection.
const REST: Duration = Duration::from_millis(50);

/// How many connections there may be for each order that is carried out at once: those who ask for more are told that there is no room.
const CONNECTIONS_PER_WORKER: usize = 64;

/// How an endpoint is to work.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What whoever gives an order must know.
    pub secret: FunctionSecret,
    /// Most orders at once, at least 1. Default: one per processor.
    pub workers: usize,
    /// Memory that each of them may use, in bytes. Default: no limit but that of the place.
    pub memory_limit: Option<u64>,
    /// Longest order in bytes. Default: 32 MiB.
    pub payload_limit: usize,
    /// How long the headers of a request may take, and its body. Default: 20 s.
    pub slowness: Duration,
    /// How long orders may go on once the endpoint is to end. Default: 8 s; most providers kill after 10.
    pub drain: Duration,
    /// The program. Default: this one.
    pub program: Option<PathBuf>,
    /// Its arguments. Default: none.
    pub arguments: Vec<String>,
}

impl ServerOptions {
    /// The defaults, at this address with this secret.
    pub fn new(listen: SocketAddr, secret: FunctionSecret) -> Self {
        ServerOptions {
            listen,
            secret,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            memory_limit: None,
            payload_limit: 32 << 20,
            slowness: Duration::from_secs(20),
            drain: Duration::from_secs(8),
            program: None,
            arguments: Vec::new(),
        }
    }
}

/// An endpoint.
pub struct FunctionServer {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    options: ServerOptions,
    pool: OrderPool,
    /// Orders that are being read or carried out.
    room: Arc<Semaphore>,
    ending: CancellationToken,
}

impl FunctionServer {
    /// Starts listening.
    ///
    /// # Errors
    /// If it cannot listen on the address, or the system has no room for it.
    pub async fn start(options: ServerOptions) -> Result<Self, PlatformError> {
        let workers = options.workers.clamp(1, 10_000);
        let unavailable = |cause| PlatformError::Unavailable(format!("cannot listen on {}: {cause}", options.listen));
        let listener = TcpListener::bind(options.listen).await.map_err(unavailable)?;
        let pool = OrderPool::new(ProcessOptions {
            workers,
            memory_limit: options.memory_limit,
            program: options.program.clone(),
            arguments: options.arguments.clone(),
            ..ProcessOptions::default()
        })?;
        let shared = Shared {
            pool,
            room: Arc::new(Semaphore::new(workers)),
            ending: CancellationToken::new(),
            options,
        };
        Ok(FunctionServer {
            listener,
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `end`, and then on for as long as orders may go on.
    pub async fn serve(self, end: impl Future<Output = ()>) {
        let FunctionServer { listener, shared } = self;
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        tokio::select! {
            () = end => {}
            () = accept(&listener, &shared, &connections, &cut) => {}
        }
        drop(listener);
        shared.ending.cancel();
        connections.close();
        if tokio::time::timeout(shared.options.drain, connections.wait())
            .await
            .is_err()
        {
            tracing::warn!("orders that did not end in time are given up");
            cut.cancel();
            connections.wait().await;
        }
        shared.pool.close().await;
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, connections: &TaskTracker, cut: &CancellationToken) {
    let most = shared.options.workers.max(1).saturating_mul(CONNECTIONS_PER_WORKER);
    let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let router = Router::new()
        .route("/health", get(health))
        .fallback(order)
        .with_state(shared.clone());
    // The semaphore is never closed.
    while let Ok(permit) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((connection, _)) => {
                let served = serve(connection, router.clone(), shared.clone(), permit);
                let cut = cut.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = cut.cancelled() => {}
                        () = served => {}
                    }
                });
            }
            Err(cause) => {
                tracing::debug!(%cause, "cannot accept a connection at present");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn serve(connection: TcpStream, router: Router, shared: Arc<Shared>, _permit: OwnedSemaphorePermit) {
    let _ = connection.set_nodelay(true);
    let slowness = shared.options.slowness;
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(slowness)
        .max_header_size(LONGEST_HEAD)
        .serve_connection(
            TokioIo::new(Stalled::new(connection, slowness)),
            TowerToHyperService::new(router),
        );
    let mut served = pin!(served);
    let served = tokio::select! {
        served = &mut served => served,
        () = shared.ending.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(cause) = served {
        tracing::debug!(%cause, "a connection broke");
    }
}

/// Why an order is not carried out: the status, and what is said about it.
struct Refusal(StatusCode, String);

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    match shared.ending.is_cancelled() {
        false => response(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        true => response(
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain; charset=utf-8",
            "about to end\n",
        ),
    }
}

async fn order(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response {
    match carry_out(&shared, request).await {
        Ok(report) => response(StatusCode::OK, "application/octet-stream", report),
        Err(Refusal(status, reason)) => {
            tracing::debug!(%status, reason, "an order was refused");
            let mut refused = response(status, "text/plain; charset=utf-8", reason);
            let headers = refused.headers_mut();
            // Its body has perhaps not been read.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            if status == StatusCode::SERVICE_UNAVAILABLE {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            refused
        }
    }
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(WORKER_HEADER, HeaderValue::from_static("1"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The report on the order that a request brings. The worker is killed if this is dropped, as it is when the connection breaks.
async fn carry_out(shared: &Shared, request: axum::extract::Request) -> Result<Vec<u8>, Refusal> {
    let (head, body) = request.into_parts();
    if !shared.options.secret.is_presented_by(presented(&head.headers)) {
        let reason = format!("this is not the secret; {SECRET_VARIABLE} must be the same on both sides");
        return Err(Refusal(StatusCode::UNAUTHORIZED, reason));
    }
    if head.method != hyper::Method::POST {
        let reason = "an order is a POST; whether the endpoint is well says GET /health".into();
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, reason));
    }
    let no_room = |reason: String| Refusal(StatusCode::SERVICE_UNAVAILABLE, reason);
    if shared.ending.is_cancelled() {
        return Err(no_room("it is about to end".into()));
    }
    let room = shared.room.try_acquire();
    let _room = room.map_err(|_| no_room("all workers are busy".into()))?;
    let limit = shared.options.payload_limit;
    let bytes = tokio::time::timeout(shared.options.slowness, read(&head.headers, body, limit))
        .await
        .map_err(|_| Refusal(StatusCode::REQUEST_TIMEOUT, "the order did not come in time".into()))??;
    let order = decode::<Order>(&bytes).map_err(|cause| match cause {
        NoMessage::Version(_) => Refusal(StatusCode::UPGRADE_REQUIRED, cause.to_string()),
        NoMessage::Nonsense(_) => Refusal(StatusCode::BAD_REQUEST, format!("that is no order: {cause}")),
    })?;
    drop(bytes);
    let report = shared.pool.carry_out(order).await.map_err(|full| no_room(full.0))?;
    encode(&report).map_err(|cause| Refusal(StatusCode::INTERNAL_SERVER_ERROR, cause))
}

fn presented(headers: &HeaderMap) -> &[u8] {
    headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes)
}

/// The body. Memory is used only for what has come.
async fn read(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let too_long = || {
        Refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("an order may have {limit} bytes"),
        )
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or_default().min(1 << 20));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal(StatusCode::BAD_REQUEST, "the order broke off".into()))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(too_long());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
