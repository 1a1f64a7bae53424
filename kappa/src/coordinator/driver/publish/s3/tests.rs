//! On a real server, with a store, a journal and a network that fail at chosen moments.

use super::*;
use crate::aws::config_of;
use crate::coordinator::driver::clock::{Clock, SystemClock};
use crate::coordinator::driver::tests::{Scripted, root, setup, soon};
use crate::coordinator::driver::{Coordinator, Setup};
use crate::coordinator::state::Timestamp;
use crate::ids::TaskId;
use crate::journal::{Journal, JournalError, MemoryJournal};
use crate::runtime::RunError;
use crate::store::{Memory, Store};
use async_trait::async_trait;
use aws_sdk_s3::Client;
use kappa_test_servers::{ACCESS_KEY, SECRET_KEY, Server};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const BUCKET: &str = "bucket";
const KEY: &str = "object";

/// What the keys of the first attempt's notes end with.
const BEGUN: &str = "/0/begun";
const UPLOAD: &str = "/0/upload";

/// On which side of being carried out a request is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It fails so often, and may be made again.
    Away { times: usize },
    /// It is carried out, and the first answer does not arrive.
    AnswerLost,
    /// It fails, and always will.
    Full,
    /// The first one goes no further until it is released.
    Stops(Side),
}

/// A request (`put`, `get` or `read`), what its key ends with, and what happens to it.
type At = (&'static str, &'static str, Fault);

#[derive(Debug)]
struct Faulty {
    inner: Arc<Memory>,
    fault: Option<At>,
    /// How many requests have met the fault.
    met: AtomicUsize,
    has_stopped: AtomicBool,
    released: Semaphore,
}

impl Faulty {
    fn over(inner: &Arc<Memory>, fault: Option<At>) -> Arc<Self> {
        Arc::new(Faulty {
            inner: inner.clone(),
            fault,
            met: AtomicUsize::new(0),
            has_stopped: AtomicBool::new(false),
            released: Semaphore::new(0),
        })
    }

    async fn until_stopped(&self) {
        until(|| self.has_stopped.load(Ordering::SeqCst)).await;
    }

    fn release(&self) {
        self.released.add_permits(1);
    }

    async fn stop(&self) {
        self.has_stopped.store(true, Ordering::SeqCst);
        self.released.acquire().await.expect("it is never closed").forget();
    }

    async fn pass<T: Send>(
        &self,
        what: &str,
        key: &str,
        request: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let is_faulty = |at: &At| what == at.0 && key.ends_with(at.1);
        let Some((_, _, fault)) = self.fault.filter(is_faulty) else {
            return request.await;
        };
        let number = self.met.fetch_add(1, Ordering::SeqCst);
        let failed = |retryable: bool| StoreError::Unavailable {
            store: self.url(),
            action: format!("{what} {key}"),
            cause: "connection reset".to_string(),
            retryable,
        };
        match fault {
            Fault::Away { times } if number < times => Err(failed(true)),
            Fault::AnswerLost if number == 0 => {
                request.await?;
                Err(failed(true))
            }
            Fault::Full => Err(failed(false)),
            Fault::Stops(Side::Before) if number == 0 => {
                self.stop().await;
                request.await
            }
            Fault::Stops(Side::After) if number == 0 => {
                let done = request.await;
                self.stop().await;
                done
            }
            _ => request.await,
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.pass("put", key, self.inner.put(key, bytes)).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.pass("get", key, self.inner.get(key)).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        self.pass("read", key, self.inner.get_ranges(key, ranges)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.inner.delete_prefix(prefix).await
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn url(&self) -> String {
        "memory:".to_string()
    }
}

/// A journal that refuses whoever has lost it to another coordinator, as the one in Redis does.
struct Leased {
    inner: MemoryJournal,
    is_lost: AtomicBool,
}

impl Leased {
    fn over(inner: &MemoryJournal) -> Arc<Self> {
        Arc::new(Leased {
            inner: inner.clone(),
            is_lost: AtomicBool::new(false),
        })
    }

    fn check(&self) -> Result<(), JournalError> {
        match self.is_lost.load(Ordering::SeqCst) {
            true => Err(JournalError::InUse {
                place: "here".to_string(),
            }),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Journal for Leased {
    async fn append(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        self.check()?;
        self.inner.append(records).await
    }

    async fn snapshot(&self, snapshot: Vec<u8>) -> Result<(), JournalError> {
        self.check()?;
        self.inner.snapshot(snapshot).await
    }

    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
        self.inner.load().await
    }

    async fn sync(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn may_lose_its_end(&self) -> bool {
        false
    }

    fn longest_snapshot(&self) -> usize {
        usize::MAX
    }
}

/// A clock whose pauses take no time, and are added up.
struct Hasty {
    inner: SystemClock,
    waited: Mutex<Duration>,
}

impl Hasty {
    fn start() -> Arc<Self> {
        Arc::new(Hasty {
            inner: SystemClock::start(),
            waited: Mutex::new(Duration::ZERO),
        })
    }
}

#[async_trait]
impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    async fn sleep(&self, duration: Duration) {
        // No pause is so long: it is a timer of the run's.
        if duration > LONGEST_DELAY * 2 {
            self.inner.sleep(duration).await;
            return;
        }
        *self.waited.lock() += duration;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A run whose only task never ends.
fn idle(journal: Arc<Leased>, store: Arc<Faulty>, clock: Arc<Hasty>) -> Setup {
    let platform = Scripted::new(4, |_, _| async { std::future::pending().await });
    let mut setup = setup(platform, Some(journal));
    setup.store = store;
    setup.clock = clock;
    setup
}

async fn started(store: &Arc<Faulty>, clock: &Arc<Hasty>) -> Coordinator {
    let journal = Leased::over(&MemoryJournal::new());
    let setup = idle(journal, store.clone(), clock.clone());
    Coordinator::start(setup, root(vec![])).await.expect("start")
}

/// An object of the run's on its way to the bucket at this endpoint.
fn journey(coordinator: &Coordinator, endpoint: &str, name: &str, content: Payload) -> Arc<Journey> {
    let address = Address::parse(&format!("s3://{BUCKET}/{KEY}")).expect("an address");
    let bucket = Bucket::with(&address, &config_of(endpoint, ACCESS_KEY, SECRET_KEY));
    let object = Object {
        url: address.to_string(),
        task: TaskId(1),
        sequence: 1,
        name: name.to_string(),
        life: 0,
        content: Some(content),
    };
    Arc::new(Journey::new(&coordinator.shared, object, bucket, address.path))
}

fn inline(content: &'static [u8]) -> Payload {
    Payload::Inline(Bytes::from_static(content))
}

/// Content that has to be read from the store.
async fn stored(store: &Memory, content: &'static [u8]) -> Payload {
    store.put("content", Bytes::from_static(content)).await.expect("put");
    Payload::Stored {
        key: "content".to_string(),
        length: content.len() as u64,
    }
}

fn server() -> Server {
    let server = Server::ministack();
    server.make_bucket(BUCKET);
    server
}

fn client(server: &Server) -> Client {
    let config = config_of(&server.endpoint(), ACCESS_KEY, SECRET_KEY);
    let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true);
    Client::from_conf(config.build())
}

async fn content(server: &Server) -> Vec<u8> {
    let answer = client(server).get_object().bucket(BUCKET).key(KEY).send().await;
    let body = answer.expect("the object").body.collect().await;
    body.expect("its content").to_vec()
}

/// How many have been begun and are no object.
async fn uploads(server: &Server) -> usize {
    let page = client(server).list_multipart_uploads().bucket(BUCKET).send().await;
    page.expect("a list").uploads().len()
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_while_notes_are_made_and_read_is_waited_for() {
    let server = server();
    for (what, end) in [("get", BEGUN), ("put", BEGUN), ("put", UPLOAD)] {
        let store = Faulty::over(&Arc::default(), Some((what, end, Fault::Away { times: 40 })));
        let coordinator = started(&store, &Hasty::start()).await;
        let journey = journey(&coordinator, &server.endpoint(), "1-1", inline(b"content"));
        assert_eq!(soon(journey.arrive()).await, Some(Ok(())), "{what} {end}");
        assert!(store.met.load(Ordering::SeqCst) > 40, "{what} {end}");
        assert_eq!(content(&server).await, b"content");
        assert_eq!(store.inner.usage().0, 0, "{what} {end}: notes are left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stays_away_fails_no_object_before_the_run_is_stopped() {
    let server = server();
    let fault = Fault::Away { times: usize::MAX };
    let store = Faulty::over(&Arc::default(), Some(("put", BEGUN, fault)));
    let coordinator = started(&store, &Hasty::start()).await;
    let journey = journey(&coordinator, &server.endpoint(), "1-1", inline(b"content"));
    let arriving = tokio::spawn(journey.arrive());
    until(|| store.met.load(Ordering::SeqCst) > 100).await;
    assert!(!arriving.is_finished());
    drop(coordinator);
    assert_eq!(soon(arriving).await.expect("its end"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_was_made_although_its_answer_was_lost_fails_no_object() {
    let server = server();
    for end in [BEGUN, UPLOAD] {
        let store = Faulty::over(&Arc::default(), Some(("put", end, Fault::AnswerLost)));
        let coordinator = started(&store, &Hasty::start()).await;
        let journey = journey(&coordinator, &server.endpoint(), "1-1", inline(b"content"));
        assert_eq!(soon(journey.arrive()).await, Some(Ok(())), "{end}");
        assert_eq!(content(&server).await, b"content");
        assert_eq!(uploads(&server).await, 0, "{end}");
        assert_eq!(store.inner.usage().0, 0, "{end}: notes are left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_name_cannot_be_noted_is_ended() {
    let server = server();
    let store = Faulty::over(&Arc::default(), Some(("put", UPLOAD, Fault::Full)));
    let coordinator = started(&store, &Hasty::start()).await;
    let journey = journey(&coordinator, &server.endpoint(), "1-1", inline(b"content"));
    let outcome = soon(journey.arrive()).await;
    assert!(matches!(outcome, Some(Err(_))), "{outcome:?}");
    assert_eq!(uploads(&server).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_another_task_ends_at_the_same_place_is_begun_again() {
    let server = server();
    let kept = Arc::new(Memory::new());
    let stored = stored(&kept, b"content").await;
    let store = Faulty::over(&kept, Some(("read", "content", Fault::Stops(Side::Before))));
    let coordinator = started(&store, &Hasty::start()).await;
    let journey = journey(&coordinator, &server.endpoint(), "1-1", stored);
    let arriving = tokio::spawn(journey.clone().arrive());
    store.until_stopped().await;
    assert_eq!(uploads(&server).await, 1);
    journey
        .bucket
        .abort_without_parts(KEY, Duration::ZERO)
        .await
        .expect("ended");
    assert_eq!(uploads(&server).await, 0, "it was to be ended");
    store.release();
    assert_eq!(soon(arriving).await.expect("its end"), Some(Ok(())));
    assert_eq!(content(&server).await, b"content");
    assert_eq!(uploads(&server).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_only_paused_while_another_goes_on_with_the_run_puts_nothing_there_any_more() {
    let server = server();
    let endpoint = server.endpoint();
    for (side, note) in [
        (Side::Before, BEGUN),
        (Side::After, BEGUN),
        (Side::Before, UPLOAD),
        (Side::After, UPLOAD),
    ] {
        for is_late in [false, true] {
            let case = format!("paused {side:?} {note}, late: {is_late}");
            let (kept, journal) = (Arc::new(Memory::new()), MemoryJournal::new());
            let old = stored(&kept, b"old").await;

            let first_store = Faulty::over(&kept, Some(("put", note, Fault::Stops(side))));
            let first_journal = Leased::over(&journal);
            let first_setup = idle(first_journal.clone(), first_store.clone(), Hasty::start());
            let first = Coordinator::start(first_setup.clone(), root(vec![])).await;
            let first = first.expect("start");
            let sleeper = journey(&first, &endpoint, "1-1", old.clone());
            let sleeping = tokio::spawn(sleeper.clone().arrive());
            first_store.until_stopped().await;

            first_journal.is_lost.store(true, Ordering::SeqCst);
            let stops = ("read", "content", Fault::Stops(Side::Before));
            let second_store = Faulty::over(&kept, (!is_late).then_some(stops));
            let mut second_setup = first_setup;
            second_setup.store = second_store.clone();
            second_setup.journal = Some(Leased::over(&journal));
            let second = Coordinator::resume(second_setup).await.expect("resume");
            let going_on = tokio::spawn(journey(&second, &endpoint, "1-1", old).arrive());
            if is_late {
                // The other is further: it has put something else there.
                assert_eq!(soon(going_on).await.expect("its end"), Some(Ok(())), "{case}");
                let newer = journey(&second, &endpoint, "1-2", inline(b"newer"));
                assert_eq!(soon(newer.arrive()).await, Some(Ok(())), "{case}");
                first_store.release();
                assert_eq!(soon(sleeping).await.expect("its end"), None, "{case}");
                assert_eq!(content(&server).await, b"newer", "{case}");
            } else {
                // The other is still at it, and has seen to it that the sleeper's upload is never known.
                second_store.until_stopped().await;
                let name = kept.get(&sleeper.note_key(0, "upload")).await.expect("a note");
                let is_unknown = matches!((side, note), (Side::After, BEGUN) | (Side::Before, UPLOAD));
                assert_eq!(name.is_empty(), is_unknown, "{case}");
                first_store.release();
                assert_eq!(soon(sleeping).await.expect("its end"), None, "{case}");
                second_store.release();
                assert_eq!(soon(going_on).await.expect("its end"), Some(Ok(())), "{case}");
                assert_eq!(content(&server).await, b"old", "{case}");
            }
            assert_eq!(uploads(&server).await, 0, "{case}");
            let end = soon(first.wait()).await;
            assert!(matches!(end, Err(RunError::Journal { .. })), "{case}: {end:?}");
        }
    }
}

/// Stands before a server, and ends the first connections without an answer.
async fn hanging_up(server: &Server, times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its number"));
    let behind = server.endpoint().trim_start_matches("http://").to_string();
    tokio::spawn(async move {
        let mut left = times;
        while let Ok((mut client, _)) = listener.accept().await {
            if left > 0 {
                left -= 1;
                // Whoever has not read what came ends a connection with a reset.
                let _ = client.read(&mut [0; 1 << 14]).await;
                continue;
            }
            let behind = behind.clone();
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(behind).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    endpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_closed_without_an_answer_fail_no_object() {
    let server = server();
    let store = Faulty::over(&Arc::default(), None);
    let coordinator = started(&store, &Hasty::start()).await;
    let never = hanging_up(&server, usize::MAX).await;
    let never = journey(&coordinator, &never, "1-1", inline(b"content"));
    let Err(Trouble::Failed { cause, is_retryable }) = never.bucket.is_marked(KEY, "mark").await else {
        panic!("nobody answers");
    };
    assert!(is_retryable && cause.contains("closed without an answer"), "{cause}");
    // More often than the SDK asks.
    let endpoint = hanging_up(&server, 4).await;
    let journey = journey(&coordinator, &endpoint, "1-1", inline(b"content"));
    assert_eq!(soon(journey.arrive()).await, Some(Ok(())));
    assert_eq!(content(&server).await, b"content");
}

/// A bucket that is empty, and in which nothing can be begun.
async fn busy() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its number"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 1 << 14];
                let length = client.read(&mut request).await.unwrap_or(0);
                let (status, body) = match &request[..length] {
                    [b'H', ..] => ("404 Not Found", ""),
                    [b'G', ..] => ("200 OK", "<ListMultipartUploadsResult></ListMultipartUploadsResult>"),
                    _ => (
                        "409 Conflict",
                        "<Error><Code>OperationAborted</Code><Message>Again.</Message></Error>",
                    ),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\
                     Connection: close\r\n\r\n{body}"
                );
                let _ = client.write_all(answer.as_bytes()).await;
            });
        }
    });
    endpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_the_bucket_is_waited_out_for_a_minute_and_then_fails_the_task() {
    let store = Faulty::over(&Arc::default(), None);
    let clock = Hasty::start();
    let coordinator = started(&store, &clock).await;
    let journey = journey(&coordinator, &busy().await, "1-1", inline(b"content"));
    let outcome = soon(journey.arrive()).await;
    let Some(Err(cause)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(cause.contains("again and again"), "{cause}");
    let waited = *clock.waited.lock();
    assert!((PATIENCE..PATIENCE * 2).contains(&waited), "{waited:?}");
}
