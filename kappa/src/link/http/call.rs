//! One request, from its headers to its reply.

use super::server::{Shared, Taker};
use super::{DELIVERY_HEADER, REPLY_FOLLOWS, STILL_WAITING, VERSION, VERSION_HEADER, heartbeat, too_long};
use crate::ids::RunId;
use crate::protocol::{Answer, Reply, Request};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures::{FutureExt, Stream};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Why a request is not heard: the status, and what is said about it.
struct Refusal(StatusCode, String);

/// Serves a call.
pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    Path(run): Path<String>,
    request: axum::extract::Request,
) -> Response {
    match hear(&shared, &run, request).await {
        Ok(response) => response,
        Err(Refusal(status, reason)) => refuse(status, reason),
    }
}

async fn hear(shared: &Shared, run: &str, request: axum::extract::Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let run = authorised(shared, run, &head.headers)?;
    same_version(&head.headers)?;
    let length = announced_length(&head.headers, shared.options.message_limit)?;
    let (bytes, room) = tokio::time::timeout(shared.options.slowness, read(shared, body, length))
        .await
        .map_err(|_| Refusal(StatusCode::REQUEST_TIMEOUT, "the body did not come in time".into()))??;
    let request = decode(&bytes)?;
    drop(bytes);
    let Some(delivery) = head.headers.get(DELIVERY_HEADER) else {
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            "a call needs the number of its delivery".into(),
        ));
    };
    let Some(taker) = shared.taker(run, (request.task, request.incarnation), delivery.as_bytes()) else {
        // It is over, or another's: whoever asks has been given up (r15).
        return Ok(response(reply_body(&Reply::Fenced, shared.options.message_limit)));
    };
    Ok(answer(taker, request, room, shared).await)
}

/// The run, if the request bears its secret.
fn authorised(shared: &Shared, run: &str, headers: &HeaderMap) -> Result<RunId, Refusal> {
    let presented = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    match RunId::parse(run) {
        Some(run) if shared.knows(run, presented) => Ok(run),
        _ => Err(Refusal(
            StatusCode::UNAUTHORIZED,
            "nothing of such a run is running here, or this is not its secret".into(),
        )),
    }
}

fn same_version(headers: &HeaderMap) -> Result<(), Refusal> {
    let theirs = headers.get(VERSION_HEADER).map_or(&b""[..], |value| value.as_bytes());
    if theirs == VERSION.as_bytes() {
        return Ok(());
    }
    Err(Refusal(
        StatusCode::UPGRADE_REQUIRED,
        format!(
            "the coordinator speaks version {VERSION} of the protocol and the worker version {}; give both the same build of the program",
            String::from_utf8_lossy(&theirs[..theirs.len().min(16)])
        ),
    ))
}

fn announced_length(headers: &HeaderMap, limit: usize) -> Result<usize, Refusal> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match announced {
        Some(length) if length <= limit => Ok(length),
        Some(length) => Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, too_long(length, limit))),
        None => Err(Refusal(
            StatusCode::LENGTH_REQUIRED,
            "a request needs a content-length".into(),
        )),
    }
}

/// The body. Room for all of it is taken before the first byte is read; memory is used only for what has come.
async fn read(shared: &Shared, mut body: Body, length: usize) -> Result<(Bytes, OwnedSemaphorePermit), Refusal> {
    let Some(room) = shared.room(length).await else {
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "no room at present".into()));
    };
    let incomplete = || Refusal(StatusCode::BAD_REQUEST, "the body is shorter than was announced".into());
    let mut bytes = Vec::with_capacity(length.min(1 << 20));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| incomplete())?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > length - bytes.len() {
            let reason = "the body is longer than was announced".into();
            return Err(Refusal(StatusCode::BAD_REQUEST, reason));
        }
        bytes.extend_from_slice(&data);
    }
    match bytes.len() == length {
        true => Ok((bytes.into(), room)),
        false => Err(incomplete()),
    }
}

fn decode(bytes: &[u8]) -> Result<Request, Refusal> {
    match postcard::take_from_bytes(bytes) {
        Ok((request, [])) => Ok(request),
        Ok((_, rest)) => Err(Refusal(
            StatusCode::BAD_REQUEST,
            format!("{} bytes follow the request", rest.len()),
        )),
        Err(cause) => Err(Refusal(StatusCode::BAD_REQUEST, format!("that is no request: {cause}"))),
    }
}

type Replying = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// Hands the request to the coordinator. What comes soon is the response; before what takes longer there are signs of life.
async fn answer(taker: Taker, request: Request, room: OwnedSemaphorePermit, shared: &Shared) -> Response {
    let limit = shared.options.message_limit;
    let mut replying: Replying = Box::pin(async move {
        let _room = room;
        let reply = tokio::select! {
            biased;
            () = taker.over.cancelled() => Reply::Fenced,
            reply = taker.link.send(request) => reply,
        };
        reply_body(&reply, limit)
    });
    let interval = heartbeat(shared.options.patience);
    if let Some(reply) = (&mut replying).now_or_never() {
        return response(reply);
    }
    match tokio::time::timeout(interval, &mut replying).await {
        Ok(reply) => response(reply),
        Err(_) => response(Body::from_stream(signs_of_life(replying, interval))),
    }
}

/// A byte at once and one at each interval until the reply is there.
fn signs_of_life(replying: Replying, interval: Duration) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let alive = || Ok(Bytes::from_static(&[STILL_WAITING]));
    let rest = futures::stream::unfold(Some(replying), move |replying| async move {
        let mut replying = replying?;
        match tokio::time::timeout(interval, &mut replying).await {
            Ok(reply) => Some((Ok(reply), None)),
            Err(_) => Some((alive(), Some(replying))),
        }
    });
    futures::StreamExt::chain(futures::stream::iter([alive()]), rest)
}

/// The reply as it is sent. One that is too long is replaced by a refusal, so that the task hears why it fails.
fn reply_body(reply: &Reply, limit: usize) -> Bytes {
    let encode = |reply: &Reply| postcard::to_extend(reply, vec![REPLY_FOLLOWS]);
    let encoded = match encode(reply) {
        Ok(bytes) if bytes.len() <= limit => return bytes.into(),
        Ok(bytes) => too_long(bytes.len(), limit),
        Err(cause) => cause.to_string(),
    };
    let refused = Reply::Answer(Answer::Refused(format!("its answer cannot be delivered: {encoded}")));
    encode(&refused).unwrap_or_default().into()
}

fn response(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(VERSION_HEADER, hyper::header::HeaderValue::from_static(VERSION));
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/octet-stream"),
    );
    response
}

/// The connection ends with it: its body, if there is one, has not been read.
fn refuse(status: StatusCode, reason: String) -> Response {
    tracing::debug!(%status, reason, "a request was refused");
    let mut response = response(reason);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("close"));
    response
}
