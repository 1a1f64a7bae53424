//! Who is heard, and what junk does.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

/// The head of a call.
fn head(run: RunId, secret: Option<&Secret>, version: &str, length: usize) -> String {
    let authorization = secret.map_or(String::new(), |secret| {
        format!("authorization: {}\r\n", secret.authorization())
    });
    format!(
        "POST /runs/{run}/calls HTTP/1.1\r\nhost: x\r\n{authorization}{VERSION_HEADER}: {version}\r\n{DELIVERY_HEADER}: raw\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Sends bytes as they are; gives everything that comes back until the connection ends.
fn exchange(address: SocketAddr, sent: &[u8], end: bool) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may have closed it in the middle.
    let _ = connection.write_all(sent);
    if end {
        let _ = connection.shutdown(Shutdown::Write);
    }
    let mut received = Vec::new();
    match connection.read_to_end(&mut received) {
        Err(cause)
            if matches!(
                cause.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ) =>
        {
            panic!("no end after {} bytes", received.len())
        }
        _ => received,
    }
}

/// The status of a response; 0 if there is none.
fn status(response: &[u8]) -> u16 {
    let line = String::from_utf8_lossy(&response[..response.len().min(20)]).into_owned();
    line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn r12_whoever_has_no_secret_is_refused_before_the_body_is_read() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let other_run = RunId::generate();
    let other = place.server.open(&invocation(other_run), place.link.clone()).unwrap();
    let secret = place.opened.access().secret.clone();
    let wrong = Secret::generate().unwrap();
    let address = place.server.address();
    for (what, run, secret) in [
        ("none", place.run, None),
        ("a wrong one", place.run, Some(&wrong)),
        ("another run's", place.run, Some(&other.access().secret)),
        ("for another run", other_run, Some(&secret)),
        ("for no run", RunId::generate(), Some(&secret)),
    ] {
        // The body is announced and never sent: whoever waited for it would not answer.
        let started = Instant::now();
        let refused = exchange(address, head(run, secret, VERSION, 1 << 20).as_bytes(), false);
        assert_eq!(status(&refused), 401, "{what}");
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{what}: {:?}",
            started.elapsed()
        );
    }
    assert_eq!(place.link.count(), 0);

    drop(place.opened);
    let body = postcard::to_stdvec(&request(1)).unwrap();
    let mut late = head(place.run, Some(&secret), VERSION, body.len()).into_bytes();
    late.extend(body);
    assert_eq!(
        status(&exchange(address, &late, false)),
        401,
        "nothing of the run is running"
    );
}

#[test]
fn r12_the_server_listens_on_loopback_unless_it_is_told_otherwise() {
    let server = HttpServer::start(HttpOptions::default()).unwrap();
    assert!(server.address().ip().is_loopback());
}

#[tokio::test]
async fn r12_what_is_no_call_is_answered_by_4xx() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let secret = Some(&place.opened.access().secret);
    let address = place.server.address();
    let run = place.run;
    let call = head(run, secret, VERSION, 4);
    let body = postcard::to_stdvec(&request(1)).unwrap();
    let with = |head: String, body: &[u8]| [head.as_bytes(), body].concat();
    let mut longer = body.clone();
    longer.push(0);
    for (what, sent, expected) in [
        ("another path", call.replace("/calls", "/anything").into_bytes(), 404),
        ("no path", call.replace("/runs/", "/").into_bytes(), 404),
        ("another method", call.replace("POST", "DELETE").into_bytes(), 405),
        ("no run", call.replace(&run.to_string(), "no-run").into_bytes(), 401),
        ("no length", call.replace("content-length: 4\r\n", "").into_bytes(), 411),
        (
            "two lengths",
            call.replace("length: 4", "length: 4\r\ncontent-length: 5").into_bytes(),
            400,
        ),
        ("too long", head(run, secret, VERSION, 1 << 40).into_bytes(), 413),
        ("another version", head(run, secret, "0", 4).into_bytes(), 426),
        ("no version", head(run, secret, "", 4).into_bytes(), 426),
        ("no request", with(call.clone(), &[0xff; 4]), 400),
        ("half a request", with(head(run, secret, VERSION, 4), &body[..4]), 400),
        (
            "more than a request",
            with(head(run, secret, VERSION, longer.len()), &longer),
            400,
        ),
        ("headers without end", vec![b'a'; 100_000], 431),
        (
            "many headers",
            format!("POST / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(5000)).into_bytes(),
            431,
        ),
    ] {
        let response = exchange(address, &sent, false);
        let text = String::from_utf8_lossy(&response).into_owned();
        assert_eq!(status(&response), expected, "{what}: {text}");
    }
    assert_eq!(place.link.count(), 0);
}

#[tokio::test]
async fn a_worker_of_another_version_hears_which_versions_there_are() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let sent = head(place.run, Some(&place.opened.access().secret), "77", 4);
    let response = exchange(place.server.address(), sent.as_bytes(), false);
    let text = String::from_utf8_lossy(&response).into_owned();
    assert!(
        text.contains(&format!("version {VERSION}")) && text.contains("version 77") && text.contains("same build"),
        "{text}"
    );
}

#[tokio::test]
async fn r12_slow_headers_slow_bodies_and_idle_connections_are_ended() {
    let options = HttpOptions {
        slowness: Duration::from_millis(200),
        ..HttpOptions::default()
    };
    let place = Place::new(options, Recorder::after(Duration::ZERO));
    let address = place.server.address();
    let call = head(place.run, Some(&place.opened.access().secret), VERSION, 100);
    for (what, sent, expected) in [
        ("nothing at all", &b""[..], 0),
        ("half a head", &call.as_bytes()[..50], 0),
        ("half a body", &[call.as_bytes(), b"some"].concat(), 408),
    ] {
        let started = Instant::now();
        let response = exchange(address, sent, false);
        // An unfinished head may be answered by 408 or just closed.
        assert!(
            [expected, 408].contains(&status(&response)),
            "{what}: {}",
            status(&response)
        );
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{what}: {:?}",
            started.elapsed()
        );
    }
    // Whoever cannot connect any more because of others is heard when those have been ended.
    let few = HttpOptions {
        connections: 2,
        slowness: Duration::from_millis(300),
        patience: Duration::from_secs(30),
        ..HttpOptions::default()
    };
    let place = Place::new(few, Recorder::after(Duration::ZERO));
    let idle: Vec<_> = (0..6)
        .map(|_| TcpStream::connect(place.server.address()).unwrap())
        .collect();
    let (link, _left) = place.link();
    let reply = tokio::time::timeout(Duration::from_secs(20), link.send(request(1)))
        .await
        .expect("it is heard");
    assert_eq!(reply, answer_to(1));
    drop(idle);
}

#[tokio::test]
async fn r15_an_invocation_that_is_over_is_fenced_and_its_waiting_requests_are_given_up() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::from_secs(3600)));
    // Something of the run goes on, so that its secret does.
    let mut other = invocation(place.run);
    other.incarnation = 2;
    let _other = place.server.open(&other, Recorder::after(Duration::ZERO)).unwrap();
    let (link, _left) = place.link();
    let waiting = tokio::spawn({
        let link = link.clone();
        async move { link.send(request(1)).await }
    });
    while place.link.count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(place.opened);
    let reply = tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("it is given up");
    assert_eq!(reply.unwrap(), Reply::Fenced);
    assert_eq!(link.send(request(2)).await, Reply::Fenced);
    assert_eq!(place.link.count(), 1, "nothing came through afterwards");
}

#[tokio::test]
async fn an_invocation_may_be_started_twice_and_the_end_of_one_does_not_end_the_other() {
    // a03: what starts invocations may do so twice.
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let again = place.server.open(&invocation(place.run), place.link.clone()).unwrap();
    assert_eq!(again.access(), place.opened.access());
    drop(place.opened);
    let (link, _left) = link_to(place.run, again.access());
    assert_eq!(link.send(request(1)).await, answer_to(1));
}

#[test]
fn the_secret_is_shown_by_nothing_that_can_be_printed() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let shown = format!("{:?} {:?} {:?}", place.opened.access(), place.opened, place.server);
    let authorization = place.opened.access().secret.authorization();
    let secret = authorization.trim_start_matches("Bearer ");
    assert!(
        !shown.contains(secret) && !shown.to_lowercase().contains(&secret[..8]),
        "{shown}"
    );
}

/// Memory in use by this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Something that is no call, or nearly one.
fn junk(dice: &mut SmallRng, run: RunId, secret: &Secret) -> Vec<u8> {
    let mut noise = vec![0; dice.random_range(0..2000)];
    dice.fill_bytes(&mut noise);
    let valid = postcard::to_stdvec(&request(1)).unwrap();
    let with = |head: String, body: &[u8]| [head.as_bytes(), body].concat();
    match dice.random_range(0..10) {
        0 => noise,
        1 => with(head(run, Some(secret), VERSION, noise.len()), &noise),
        2 => with(
            head(
                run,
                Some(secret),
                VERSION,
                noise.len() + 1 + dice.random_range(0..1 << 20),
            ),
            &noise,
        ),
        3 => head(
            run,
            Some(secret),
            VERSION,
            (1 << 25) + dice.random_range(1..usize::MAX / 4),
        )
        .into_bytes(),
        4 => with(head(RunId::generate(), Some(secret), VERSION, valid.len()), &valid),
        5 => with(head(run, None, VERSION, valid.len()), &valid),
        6 => {
            let method = ["GET", "PUT", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PRI", "X"][dice.random_range(0..8)];
            with(
                head(run, Some(secret), VERSION, valid.len()).replace("POST", method),
                &valid,
            )
        }
        7 => {
            let mut sent = with(head(run, Some(secret), VERSION, valid.len()), &valid);
            sent.truncate(dice.random_range(0..sent.len() - 1));
            sent
        }
        8 => {
            // One byte of a valid call, body or head, is another one.
            let mut sent = with(head(run, Some(secret), VERSION, valid.len()), &valid);
            let place = dice.random_range(0..sent.len());
            sent[place] ^= dice.random_range(1..=255u8);
            sent
        }
        _ => {
            let chunked =
                head(run, Some(secret), VERSION, 5).replace("content-length: 5", "transfer-encoding: chunked");
            with(
                chunked,
                format!("{:x}\r\n{}", noise.len(), "z".repeat(noise.len())).as_bytes(),
            )
        }
    }
}

#[tokio::test]
async fn r12_ten_thousand_junk_requests_leave_the_server_up_and_its_memory_bounded() {
    let options = HttpOptions {
        message_limit: 1 << 25,
        ..HttpOptions::default()
    };
    let place = Place::new(options, Recorder::after(Duration::ZERO));
    let (address, run, secret) = (place.server.address(), place.run, place.opened.access().secret.clone());
    let before = resident();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let secret = secret.clone();
            std::thread::spawn(move || {
                let mut dice = SmallRng::seed_from_u64(thread);
                let mut heard = 0;
                for number in 0..2500 {
                    let sent = junk(&mut dice, run, &secret);
                    let response = exchange(address, &sent, true);
                    let status = status(&response);
                    heard += u32::from(status == 200);
                    assert!(
                        matches!(status, 0 | 200 | 400..=499 | 500..=505),
                        "{thread}/{number}: {status}"
                    );
                    assert_ne!(status, 500, "{thread}/{number}: something broke inside");
                }
                heard
            })
        })
        .collect();
    let heard: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    // A changed byte can leave a call valid; nothing else is one.
    assert!(heard < 1000, "{heard} of 10000 were taken for calls");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB more than before", grown >> 20);
    let _again = place.server.open(&invocation(run), place.link.clone()).unwrap();
    let (link, _left) = place.link();
    assert_eq!(link.send(request(1)).await, answer_to(1), "it still serves");
}

#[tokio::test]
async fn bodies_wait_for_room_and_all_of_them_come_through() {
    let options = HttpOptions {
        message_limit: 1 << 20,
        memory: 1 << 20,
        ..HttpOptions::default()
    };
    let place = Place::new(options, Recorder::after(Duration::from_millis(5)));
    let (link, _left) = place.link();
    let long = |sequence| Request {
        continuation: Payload::Inline(vec![1; 600_000].into()),
        ..request(sequence)
    };
    let all = (1..=8).map(|sequence| link.send(long(sequence)));
    let replies = futures::future::join_all(all).await;
    assert_eq!(replies, (1..=8).map(answer_to).collect::<Vec<_>>());
}

#[tokio::test]
async fn after_stop_the_address_is_free_again() {
    let place = Place::new(HttpOptions::default(), Recorder::after(Duration::ZERO));
    let address = place.server.address();
    let (link, _left) = place.link();
    assert_eq!(link.send(request(1)).await, answer_to(1));
    place.server.stop().await;
    let again = HttpServer::start(HttpOptions {
        listen: address,
        ..HttpOptions::default()
    });
    assert_eq!(again.unwrap().address(), address);
}
