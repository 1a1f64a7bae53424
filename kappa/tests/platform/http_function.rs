//! The platform `http` with a real endpoint on loopback: what every platform promises, and what can go wrong on the way there and back.

use crate::conformance;
use crate::endpoint::{Endpoint, SECRET, platform};
use crate::http::{finish, program, resting};
use crate::proxy::Proxy;
use crate::tasks::{self, Yes, invocation};
use kappa::link::http::{HttpOptions, HttpServer};
use kappa::platform::Platform;
use kappa::platform::chaos::{Chaos, Spec};
use kappa::platform::http::{FunctionSecret, HttpFunctionOptions};
use kappa::protocol::{Call, InvocationOutcome};
use kappa::runtime::{RunStats, Tuning};
use kappa::{Kappa, TaskCall};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn server(options: HttpOptions) -> Arc<HttpServer> {
    Arc::new(HttpServer::start(options).unwrap())
}

/// A way back.
fn linked(options: &mut HttpFunctionOptions) {
    options.http = Some(server(HttpOptions::default()));
}

async fn outcome<F: kappa::task::TaskFunction>(platform: &Arc<dyn Platform>, call: TaskCall<F>) -> InvocationOutcome {
    platform.invoke(invocation(call), Arc::new(Yes::default())).await
}

/// Runs the program on an endpoint; its result must be right.
async fn run(url: &str, chaos: f64, each: u64, adjust: impl FnOnce(&mut HttpFunctionOptions)) -> RunStats {
    let (function, store, _folder) = platform(url, |options| {
        options.workers = 3;
        adjust(options);
    });
    let platform = Chaos::new(function, Spec { kill: chaos, seed: 4 });
    let tuning = Tuning {
        grace: Duration::from_millis(5),
        ..Tuning::default()
    };
    let kappa = Kappa::builder()
        .platform(Arc::new(platform))
        .store(store)
        .tuning(tuning);
    let handle = kappa.build().await.unwrap().start(program(each)).await.unwrap();
    finish(handle, each).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_platform_conforms() {
    let endpoint = Endpoint::start(2, None);
    let (platform, _store, folder) = platform(&endpoint.url(), linked);
    conformance::check(platform).await;
    assert!(folder.path().join("conformance/seen=").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_what_is_too_long_for_the_endpoint_goes_through_the_store() {
    let endpoint = Endpoint::start(1, None);
    let (platform, _store, folder) = platform(&endpoint.url(), |options| options.payload_limit = 10_000);
    let platform: Arc<dyn Platform> = platform;
    let long = outcome(&platform, tasks::panicking("long ".repeat(10_000))).await;
    // Without a way back, the first checkpoint ends it; the request with its long continuation is in the report.
    let InvocationOutcome::Unlinked(request) = long else {
        panic!("{long:?}")
    };
    assert!(request.continuation.length() > 50_000);
    let left = std::fs::read_dir(folder.path().join("runs")).map_or(0, |runs| {
        runs.flat_map(|run| {
            std::fs::read_dir(run.unwrap().path().join("messages"))
                .into_iter()
                .flatten()
        })
        .count()
    });
    assert_eq!(left, 0, "nothing of it stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_worker_is_told_apart_and_the_next_one_works() {
    let endpoint = Endpoint::start(1, Some(300 << 20));
    let (platform, _store, _folder) = platform(&endpoint.url(), linked);
    let platform: Arc<dyn Platform> = platform;
    let aborted = outcome(&platform, tasks::aborting()).await;
    assert!(
        matches!(&aborted, InvocationOutcome::Crashed(why) if why.contains("SIGABRT") && why.contains("about to abort")),
        "{aborted:?}"
    );
    let left = outcome(&platform, tasks::leaving(3)).await;
    assert!(
        matches!(&left, InvocationOutcome::Crashed(why) if why.contains("exit code 3")),
        "{left:?}"
    );
    let killed = outcome(&platform, tasks::killing_itself(Signal::SIGKILL as i32)).await;
    assert!(matches!(killed, InvocationOutcome::Killed(_)), "{killed:?}");
    let greedy = outcome(&platform, tasks::greedy()).await;
    assert!(matches!(greedy, InvocationOutcome::OutOfMemory(_)), "{greedy:?}");
    let mut endless = invocation(tasks::hogging());
    endless.time_limit = Some(Duration::from_millis(300));
    let started = Instant::now();
    let hogged = platform.invoke(endless, Arc::new(Yes::default())).await;
    assert_eq!(hogged, InvocationOutcome::TimedOut);
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "by force: {:?}",
        started.elapsed()
    );
    assert_eq!(
        outcome(&platform, tasks::well_behaved(2)).await,
        InvocationOutcome::Returned
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_leaves_in_time_with_its_checkpoint_and_stays_warm() {
    let endpoint = Endpoint::start(1, None);
    let (platform, _store, _folder) = platform(&endpoint.url(), linked);
    let platform: Arc<dyn Platform> = platform;
    let process = async || {
        let link = Arc::new(Yes::default());
        let outcome = platform.invoke(invocation(tasks::process_id()), link.clone()).await;
        assert_eq!(outcome, InvocationOutcome::Returned);
        link.value::<u32>()
    };
    let before = process().await;
    let link = Arc::new(Yes::default());
    let mut limited = invocation(tasks::endless(5));
    limited.time_limit = Some(Duration::from_secs(1));
    assert_eq!(
        platform.invoke(limited, link.clone()).await,
        InvocationOutcome::TimedOut
    );
    assert_eq!(link.last_call(), Some(Call::Checkpoint));
    assert_eq!(process().await, before, "nobody had to kill it");
}

#[tokio::test(flavor = "multi_thread")]
async fn r12_without_the_secret_nothing_is_carried_out_and_the_way_out_is_said() {
    let endpoint = Endpoint::start(1, None);
    let (platform, _store, _folder) = platform(&endpoint.url(), |options| {
        linked(options);
        options.secret = FunctionSecret::new("another-secret-than-theirs").unwrap();
    });
    let link = Arc::new(Yes::default());
    let outcome = platform.invoke(invocation(tasks::well_behaved(1)), link.clone()).await;
    let InvocationOutcome::Unstartable(message) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(message.contains("KAPPA_FUNCTION_SECRET"), "{message}");
    assert!(
        !message.contains("another-secret") && !message.contains(SECRET),
        "{message}"
    );
    assert_eq!(link.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn r12_tasks_do_not_see_the_secret() {
    let endpoint = Endpoint::start(1, None);
    let (platform, _store, _folder) = platform(&endpoint.url(), linked);
    let link = Arc::new(Yes::default());
    let outcome = platform.invoke(invocation(tasks::process_id()), link.clone()).await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    for file in ["environ", "cmdline"] {
        let seen = std::fs::read(format!("/proc/{}/{file}", link.value::<u32>())).unwrap();
        assert!(
            !seen.is_empty() && !String::from_utf8_lossy(&seen).contains(SECRET),
            "{file}"
        );
    }
}

/// Sends bytes and gives what comes back.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn r12_junk_is_answered_by_4xx_and_the_endpoint_goes_on() {
    let endpoint = Endpoint::start(1, None);
    let authorised = format!("authorization: Bearer {SECRET}\r\n");
    let close = "connection: close\r\n";
    for (request, status) in [
        (format!("GET /health HTTP/1.1\r\nhost: a\r\n{close}\r\n"), "200"),
        (
            format!("POST / HTTP/1.1\r\nhost: a\r\n{close}content-length: 3\r\n\r\nabc"),
            "401",
        ),
        (
            format!("POST / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\n{close}content-length: 3\r\n\r\nabc"),
            "401",
        ),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{authorised}{close}\r\n"), "405"),
        (
            format!("POST /x HTTP/1.1\r\nhost: a\r\n{authorised}{close}content-length: 3\r\n\r\nabc"),
            "426",
        ),
        (
            format!("POST / HTTP/1.1\r\nhost: a\r\n{authorised}{close}content-length: 3\r\n\r\n\x04bc"),
            "400",
        ),
        (
            format!("POST / HTTP/1.1\r\nhost: a\r\n{authorised}{close}content-length: 0\r\n\r\n"),
            "400",
        ),
        (
            format!("POST / HTTP/1.1\r\nhost: a\r\n{authorised}{close}content-length: 99999999\r\n\r\n"),
            "413",
        ),
        // Announced and never sent.
        (
            format!("POST / HTTP/1.1\r\nhost: a\r\n{authorised}{close}content-length: 3000\r\n\r\nabc"),
            "408",
        ),
        ("nonsense\r\n\r\n".to_string(), "400"),
    ] {
        let answer = exchange(endpoint.address, request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request:?}: {answer:?}"
        );
        assert!(!answer.contains(SECRET));
    }
    let (platform, _store, _folder) = platform(&endpoint.url(), linked);
    let platform: Arc<dyn Platform> = platform;
    assert_eq!(
        outcome(&platform, tasks::well_behaved(1)).await,
        InvocationOutcome::Returned
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_an_endpoint_without_room_throttles_and_the_program_goes_on() {
    let endpoint = Endpoint::start(1, None);
    let stats = run(&endpoint.url(), 0.0, 5, linked).await;
    assert!(stats.throttled > 0, "three at once where one has room: {stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_gives_the_same_result_while_invocations_are_killed() {
    let endpoint = Endpoint::start(3, None);
    let stats = run(&endpoint.url(), 0.3, 15, linked).await;
    // How many depends on how often tasks are quick enough to go on in the same invocation.
    assert!(stats.killed > 1, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_gives_the_same_result_while_the_endpoint_is_killed_and_started_again() {
    let mut endpoint = Endpoint::start(3, None);
    let (url, listen) = (endpoint.url(), endpoint.address.to_string());
    let is_over = Arc::new(AtomicBool::new(false));
    let kills = Arc::new(AtomicUsize::new(0));
    let killing = {
        let (is_over, kills) = (is_over.clone(), kills.clone());
        std::thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(150));
                endpoint.signal(Signal::SIGKILL);
                endpoint.ended();
                kills.fetch_add(1, Ordering::SeqCst);
                endpoint = Endpoint::start_at(&listen, 3, None);
            }
        })
    };
    // A run that is over before the endpoint was killed under it proves nothing: then there is another one.
    let mut killed = 0;
    for _ in 0..20 {
        killed += run(&url, 0.0, 400, linked).await.killed;
        if killed > 0 {
            break;
        }
    }
    is_over.store(true, Ordering::SeqCst);
    killing.join().unwrap();
    assert!(
        killed > 0,
        "not once in 20 runs, while it was killed {} times",
        kills.load(Ordering::SeqCst)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_way_back_each_call_ends_an_invocation_and_the_result_is_the_same() {
    let endpoint = Endpoint::start(3, None);
    let stats = run(&endpoint.url(), 0.1, 4, |_| {}).await;
    assert!(stats.unlinked > 20, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_that_is_cut_in_the_middle_changes_no_result() {
    let (proxy, listener) = Proxy::bind();
    let back = server(HttpOptions {
        advertise: Some(proxy.url()),
        ..HttpOptions::default()
    });
    proxy.begin(listener, back.address());
    proxy.cut_after(487);
    let endpoint = Endpoint::start(3, None);
    run(&endpoint.url(), 0.1, 15, |options| options.http = Some(back)).await;
    assert!(proxy.cuts() > 10, "{} cuts", proxy.cuts());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_there_that_is_cut_in_the_middle_changes_no_result() {
    let endpoint = Endpoint::start(3, None);
    let (proxy, listener) = Proxy::bind();
    proxy.begin(listener, endpoint.address);
    proxy.cut_after(701);
    let stats = run(&proxy.url(), 0.0, 15, linked).await;
    assert!(proxy.cuts() > 0 && stats.killed > 0, "{} cuts, {stats:?}", proxy.cuts());
}

/// Reads one request, head and body.
fn read_request(connection: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let length = connection.read(&mut buffer).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&buffer[..length]);
        let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        let body: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
        if bytes.len() >= head + 4 + body {
            return Some(bytes);
        }
    }
}

/// Delivers every request twice and passes on the answer that comes first.
fn delivering_twice(to: SocketAddr) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, count) = (connection.unwrap(), counting.clone());
            std::thread::spawn(move || {
                let Some(request) = read_request(&mut connection) else {
                    return;
                };
                count.fetch_add(1, Ordering::SeqCst);
                let closing = String::from_utf8_lossy(&request[..16]).into_owned();
                assert!(closing.starts_with("POST"), "{closing}");
                let first = Arc::new(AtomicBool::new(true));
                let twice = [0, 1].map(|_| {
                    let (request, first) = (request.clone(), first.clone());
                    let mut answering = connection.try_clone().unwrap();
                    std::thread::spawn(move || {
                        let mut there = TcpStream::connect(to).unwrap();
                        there.write_all(&request).unwrap();
                        let mut buffer = [0; 16 * 1024];
                        // An answer is a small report, and comes at once when it comes.
                        let Ok(length @ 1..) = there.read(&mut buffer) else {
                            return;
                        };
                        if first.swap(false, Ordering::SeqCst) {
                            let _ = answering.write_all(&buffer[..length]);
                            let _ = answering.shutdown(std::net::Shutdown::Both);
                        }
                    })
                });
                twice.into_iter().for_each(|delivery| drop(delivery.join()));
            });
        }
    });
    (url, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_an_order_that_is_delivered_twice_takes_effect_once() {
    let endpoint = Endpoint::start(8, None);
    let (url, count) = delivering_twice(endpoint.address);
    let (function, store, _folder) = platform(&url, |options| {
        linked(options);
        options.workers = 3;
    });
    let kappa = Kappa::builder().platform(function).store(store).build().await.unwrap();
    let handle = kappa.start(program(10)).await.unwrap();
    let result = tokio::time::timeout(Duration::from_secs(100), handle.wait())
        .await
        .expect("it ends");
    assert_eq!(result.unwrap(), ((0..20).sum::<u64>(), (0..20).collect::<Vec<u64>>()));
    assert!(count.load(Ordering::SeqCst) > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_told_to_end_finishes_what_it_has_begun() {
    let mut endpoint = Endpoint::start(2, None);
    let (platform, _store, _folder) = platform(&endpoint.url(), linked);
    let platform: Arc<dyn Platform> = platform;
    let running = {
        let platform = platform.clone();
        tokio::spawn(async move { outcome(&platform, resting(1000)).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    endpoint.signal(Signal::SIGTERM);
    assert_eq!(running.await.unwrap(), InvocationOutcome::Returned);
    assert!(endpoint.ended().success());
    let after = outcome(&platform, resting(1)).await;
    assert!(
        matches!(after, InvocationOutcome::Throttled(_)),
        "nothing was started, and it has answered before, so it may come back: {after:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_address_at_which_nobody_speaks_tls_is_said_after_a_while() {
    let endpoint = Endpoint::start(1, None);
    let (platform, _store, _folder) = platform(&endpoint.url().replace("http:", "https:"), linked);
    let platform: Arc<dyn Platform> = platform;
    let outcome = outcome(&platform, resting(1)).await;
    assert!(
        matches!(&outcome, InvocationOutcome::Unstartable(why) if why.contains("nobody answers at https://")),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_at_which_nobody_answers_is_said_after_a_while() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (platform, _store, _folder) = platform(&format!("http://user:password@{nobody}/?code=secret"), linked);
    let platform: Arc<dyn Platform> = platform;
    let outcome = outcome(&platform, resting(1)).await;
    let InvocationOutcome::Unstartable(message) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        message.contains("PROGRAM serve") && message.contains(&nobody.to_string()),
        "{message}"
    );
    assert!(!message.contains("password") && !message.contains("code="), "{message}");
}
