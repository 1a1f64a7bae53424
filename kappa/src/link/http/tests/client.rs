//! What a worker does when its way to the coordinator is bad, or gone.

use super::*;
use crate::protocol::Payload;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The request with which a worker leaves, and how long it took until then.
async fn unlinked(link: Arc<super::super::client::HttpLink>, left: oneshot::Receiver<Left>) -> (Request, Duration) {
    let started = Instant::now();
    let sending = tokio::spawn(async move { link.send(request(5)).await });
    let left = tokio::time::timeout(Duration::from_secs(30), left)
        .await
        .expect("it gives up");
    let took = started.elapsed();
    assert!(!sending.is_finished(), "whoever sends never hears anything");
    sending.abort();
    match left.expect("it says why") {
        Left::Unlinked(request) => (*request, took),
        Left::Broken(reason) => panic!("{reason}"),
    }
}

fn access(address: impl std::fmt::Display, patience: Duration) -> Access {
    Access {
        url: format!("http://{address}"),
        secret: Secret::generate().unwrap(),
        patience,
        message_limit: 1 << 20,
    }
}

/// An address at which nobody listens.
async fn nowhere() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn r18_calls_come_through_one_after_the_other_by_one_connection_also_those_of_the_next_invocation() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let between = cutting(&place, &[]).await;
    let client = Arc::new(HttpClient::new());
    // As long as one of them is there, so is the run's secret.
    let mut opened = Vec::new();
    for part in 0..5 {
        opened.push(place.server.open(&invocation(place.run), place.link.clone()).unwrap());
        let (link, _left) = client.link(&invocation(place.run), &between.access).unwrap();
        for sequence in part * 20 + 1..=part * 20 + 20 {
            assert_eq!(link.send(request(sequence)).await, answer_to(sequence));
        }
    }
    assert_eq!(*place.link.requests.lock(), (1..=100).map(request).collect::<Vec<_>>());
    assert_eq!(between.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_duplicate_is_delivered_too_and_gets_its_own_reply() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::from_millis(20)));
    let (link, _left) = place.link();
    let (first, second) = tokio::join!(link.send(request(1)), link.send(request(1)));
    assert_eq!((first, second), (answer_to(1), answer_to(1)));
    assert_eq!(place.link.count(), 2);
}

#[tokio::test]
async fn a03_of_two_workers_that_were_given_the_same_invocation_one_is_heard() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let ((one, _left), (other, _also)) = (place.link(), place.link());
    assert_eq!(one.send(request(1)).await, answer_to(1));
    assert_eq!(other.send(request(1)).await, Reply::Fenced);
    assert_eq!(
        other.send(request(2)).await,
        Reply::Fenced,
        "also with what the first has not said yet"
    );
    assert_eq!(one.send(request(2)).await, answer_to(2));
    assert_eq!(*place.link.requests.lock(), [request(1), request(2)]);
}

#[tokio::test]
async fn a03_whoever_claims_the_invocation_by_its_report_is_heard_and_no_other() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let ((one, _left), (other, _also)) = (place.link(), place.link());
    for _ in 0..2 {
        assert!(place.opened.claims(one.delivery().as_bytes()));
        assert!(!place.opened.claims(other.delivery().as_bytes()));
    }
    assert_eq!(other.send(request(1)).await, Reply::Fenced);
    assert_eq!(one.send(request(1)).await, answer_to(1));
    assert!(!place.opened.claims(other.delivery().as_bytes()));
    assert_eq!(*place.link.requests.lock(), [request(1)]);
}

#[tokio::test]
async fn a_call_that_waits_longer_than_anybody_s_patience_is_answered_when_it_is() {
    let patience = Duration::from_millis(600);
    let place = Place::new(impatient(patience), Recorder::after(patience * 4));
    let (link, mut left) = place.link();
    assert_eq!(link.send(request(1)).await, answer_to(1));
    assert_eq!(place.link.count(), 1, "it was heard once: signs of life kept it");
    assert!(left.try_recv().is_err());
}

#[tokio::test]
async fn where_nobody_listens_a_worker_leaves_with_its_request_and_the_next_invocation_knows() {
    let patience = Duration::from_millis(500);
    let access = access(nowhere().await, patience);
    let client = Arc::new(HttpClient::new());
    let (link, left) = client.link(&invocation(RunId::generate()), &access).unwrap();
    let (left_with, took) = unlinked(link, left).await;
    assert_eq!(left_with, request(5));
    assert!(took > patience / 3, "it tried again: {took:?}");
    let (link, left) = client.link(&invocation(RunId::generate()), &access).unwrap();
    let (_, took) = unlinked(link, left).await;
    assert!(took < patience / 3, "once is enough now: {took:?}");
}

#[tokio::test]
async fn where_connections_are_never_accepted_a_worker_leaves_with_its_request() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let access = access(listener.local_addr().unwrap(), Duration::from_millis(600));
    let (link, left) = link_to(RunId::generate(), &access);
    assert_eq!(unlinked(link, left).await.0, request(5));
}

#[tokio::test]
async fn something_that_is_not_the_coordinator_is_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let access = access(listener.local_addr().unwrap(), Duration::from_millis(400));
    let speaking = tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 4096]).await;
            let page = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<html></html>";
            let _ = connection.write_all(page.as_bytes()).await;
        }
    });
    let (link, left) = link_to(RunId::generate(), &access);
    assert_eq!(unlinked(link, left).await.0, request(5));
    speaking.abort();
}

#[tokio::test]
async fn a_worker_that_is_not_known_leaves_at_once() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let mut access = place.opened.access().clone();
    access.secret = Secret::generate().unwrap();
    let (link, left) = link_to(place.run, &access);
    let (left_with, took) = unlinked(link, left).await;
    assert_eq!(left_with, request(5));
    assert!(took < access.patience / 2, "{took:?}");
    assert_eq!(place.link.count(), 0);
}

#[tokio::test]
async fn a_time_limit_leaves_time_to_leave() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let access = access(listener.local_addr().unwrap(), Duration::from_secs(60));
    let limited = Invocation {
        time_limit: Some(Duration::from_secs(2)),
        ..invocation(RunId::generate())
    };
    let (link, left) = Arc::new(HttpClient::new()).link(&limited, &access).unwrap();
    let (left_with, took) = unlinked(link, left).await;
    assert_eq!(left_with, request(5));
    assert!(took < Duration::from_millis(1900), "{took:?}");
}

#[tokio::test]
async fn the_last_of_several_requests_stands_for_all() {
    let access = access(nowhere().await, Duration::from_millis(300));
    let (link, left) = link_to(RunId::generate(), &access);
    let in_background = tokio::spawn({
        let link = link.clone();
        async move { link.send(request(4)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(unlinked(link, left).await.0, request(5));
    in_background.abort();
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_with_the_way_out_and_not_sent() {
    let options = HttpOptions {
        message_limit: 10_000,
        ..HttpOptions::default()
    };
    let place = Place::new(options, Recorder::after(Duration::ZERO));
    let long = Request {
        continuation: Payload::Inline(vec![1; 20_000].into()),
        ..request(1)
    };
    // r11: over a bound there is a clear error.
    let (link, _left) = place.link();
    let reply = link.send(long).await;
    let Reply::Answer(Answer::Refused(reason)) = reply else {
        panic!("{reply:?}")
    };
    assert!(reason.contains("10000 bytes") && reason.contains("store"), "{reason}");
    assert_eq!(place.link.count(), 0);
}

#[tokio::test]
async fn two_versions_that_do_not_understand_each_other_say_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let access = access(listener.local_addr().unwrap(), Duration::from_secs(60));
    let speaking = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 4096]).await;
        let text = "version 2 here";
        let refusal = format!(
            "HTTP/1.1 426 Upgrade Required\r\n{VERSION_HEADER}: 77\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        connection.write_all(refusal.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let (link, left) = link_to(RunId::generate(), &access);
    let sending = tokio::spawn(async move { link.send(request(5)).await });
    let left = tokio::time::timeout(Duration::from_secs(20), left)
        .await
        .expect("at once")
        .unwrap();
    assert!(
        matches!(&left, Left::Broken(reason) if reason.contains("version 2 here")),
        "{left:?}"
    );
    sending.abort();
    speaking.abort();
}

/// Something between worker and coordinator.
struct Between {
    access: Access,
    connections: Arc<AtomicUsize>,
    passing: tokio::task::JoinHandle<()>,
}

impl Drop for Between {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

/// Passes on what comes; the reply of the first connections only up to so many bytes, then it cuts.
async fn cutting(place: &Place, cuts: &[usize]) -> Between {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut access = place.opened.access().clone();
    access.url = format!("http://{}", listener.local_addr().unwrap());
    let (to, cuts) = (place.server.address(), cuts.to_vec());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let passing = tokio::spawn(async move {
        let mut cuts = cuts.into_iter();
        loop {
            let (mut theirs, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let mut ours = TcpStream::connect(to).await.unwrap();
            let Some(cut) = cuts.next() else {
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut theirs, &mut ours).await });
                continue;
            };
            let (mut from_client, mut to_client) = theirs.split();
            let (from_server, mut to_server) = ours.split();
            let mut reply = from_server.take(cut as u64);
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                _ = tokio::io::copy(&mut reply, &mut to_client) => {}
            }
        }
    });
    Between {
        access,
        connections,
        passing,
    }
}

#[tokio::test]
async fn a_reply_that_is_cut_anywhere_is_asked_for_again() {
    let place = Place::new(impatient(Duration::from_secs(30)), Recorder::after(Duration::ZERO));
    // Between nothing and all but the last byte: the reply with its head has some 150.
    let cuts = [0, 1, 10, 30, 60, 90, 120, 140];
    // As long as one of them is there, so is the run's secret.
    let mut opened = Vec::new();
    for cut in cuts {
        opened.push(place.server.open(&invocation(place.run), place.link.clone()).unwrap());
        let between = cutting(&place, &[cut, cut]).await;
        let before = place.link.count();
        let (link, _left) = link_to(place.run, &between.access);
        assert_eq!(link.send(request(9)).await, answer_to(9), "cut after {cut}");
        let delivered = place.link.count() - before;
        assert!(
            (1..=3).contains(&delivered),
            "cut after {cut}: delivered {delivered} times"
        );
    }
    let all = place.link.count();
    assert!(all > cuts.len() * 2, "replies were cut, and not only requests: {all}");
}

#[tokio::test]
async fn a_server_that_starts_late_is_found() {
    let address = nowhere().await;
    let late = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let options = HttpOptions {
            listen: address,
            ..impatient(Duration::from_secs(30))
        };
        HttpServer::start(options).unwrap()
    });
    let (link, mut left) = link_to(RunId::generate(), &access(address, Duration::from_secs(30)));
    let sending = tokio::spawn(async move { link.send(request(5)).await });
    // It is another run's: that it is told so shows that it was heard.
    let left = tokio::time::timeout(Duration::from_secs(20), &mut left)
        .await
        .expect("it is found");
    assert_eq!(left.unwrap(), Left::Unlinked(Box::new(request(5))));
    let server = late.await.expect("it was there before");
    drop(server);
    sending.abort();
}

#[tokio::test]
async fn a_server_that_stops_while_a_call_waits_leaves_the_worker_with_its_request() {
    let patience = Duration::from_millis(600);
    let place = Place::new(impatient(patience), Recorder::after(Duration::from_secs(3600)));
    let (link, left) = place.link();
    let stopping = async {
        while place.link.count() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        place.server.stop().await;
    };
    let ((left_with, _), ()) = tokio::join!(unlinked(link, left), stopping);
    assert_eq!(left_with, request(5));
}
