//! On real servers: ministack decides conditional writes at one moment, and so must SeaweedFS. A proxy between breaks what a network breaks.

use super::*;
use crate::aws::config_of;
use crate::store::{self, conformance};
use kappa_test_servers::{ACCESS_KEY, SECRET_KEY, Server};
use std::sync::Arc;
use std::time::Duration;

const SERVERS: [fn() -> Server; 2] = [Server::ministack, Server::seaweedfs];

fn store_with(server: &Server, url: &str, secret: &str) -> Result<S3Store, StoreError> {
    let address = Address::parse(url).unwrap();
    let bucket = Bucket::with(&address, &config_of(&server.endpoint(), ACCESS_KEY, secret));
    S3Store::looked(S3Store::at(address, bucket))
}

fn store_on(server: &Server, url: &str) -> S3Store {
    store_with(server, url, SECRET_KEY).unwrap()
}

/// What is below a prefix of a bucket: objects, and uploads that are none yet.
async fn left(store: &S3Store) -> Vec<String> {
    let client = store.bucket.client().await.unwrap();
    let objects = client
        .list_objects_v2()
        .bucket(&store.address.bucket)
        .send()
        .await
        .unwrap();
    let uploads = client
        .list_multipart_uploads()
        .bucket(&store.address.bucket)
        .send()
        .await
        .unwrap();
    let objects = objects.contents().iter().filter_map(|object| object.key());
    let uploads = uploads.uploads().iter().filter_map(|upload| upload.key());
    objects.chain(uploads).map(ToString::to_string).collect()
}

fn content(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_store_conforms_on_an_emulator_and_on_a_server() {
    for start in SERVERS {
        let server = start();
        server.make_bucket("bucket");
        for url in ["s3://bucket", "s3://bucket/some/prefix"] {
            let store = store_on(&server, url);
            conformance::check(Arc::new(store.clone())).await;
            assert_eq!(left(&store).await, Vec::<String>::new());
        }
    }
}

struct Objects<'a>(&'a S3Store);

#[async_trait]
impl conformance::BackDoor for Objects<'_> {
    async fn stored(&self, key: &str) -> Vec<u8> {
        let client = self.0.bucket.client().await.unwrap();
        let request = client.get_object().bucket("bucket").key(self.0.key_of(key));
        let answer = request.send().await.unwrap();
        answer.body.collect().await.unwrap().to_vec()
    }

    async fn replace(&self, key: &str, stored: Vec<u8>) {
        let client = self.0.bucket.client().await.unwrap();
        let request = client.put_object().bucket("bucket").key(self.0.key_of(key));
        request.body(stored.into()).send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_store_notices_whatever_a_server_changes() {
    for start in SERVERS {
        let server = start();
        server.make_bucket("bucket");
        let store = store_on(&server, "s3://bucket/p");
        conformance::check_damage(Arc::new(store.clone()), &Objects(&store)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a06_of_two_who_put_at_once_exactly_one_wins_a_hundred_times() {
    for start in SERVERS {
        let server = start();
        server.make_bucket("bucket");
        let stores = [
            store_on(&server, "s3://bucket/a06"),
            store_on(&server, "s3://bucket/a06"),
        ];
        for round in 0..100 {
            let key = format!("round/{round}");
            let put = |n: usize| stores[n].put(&key, Bytes::from(vec![n as u8; 1000]));
            let (one, two) = tokio::join!(put(0), put(1));
            let winner = match (&one, &two) {
                (Ok(()), Err(StoreError::AlreadyExists { .. })) => 0,
                (Err(StoreError::AlreadyExists { .. }), Ok(())) => 1,
                other => panic!("round {round} gave {other:?}"),
            };
            assert_eq!(stores[0].get(&key).await.unwrap()[0], winner, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a06_of_two_who_complete_long_objects_at_once_exactly_one_wins() {
    for start in SERVERS {
        let server = start();
        server.make_bucket("bucket");
        let stores = [store_on(&server, "s3://bucket"), store_on(&server, "s3://bucket")];
        for round in 0..5 {
            let key = format!("long/{round}");
            let put = |n: usize| stores[n].put(&key, Bytes::from(vec![n as u8; upload::PART + 1]));
            let (one, two) = tokio::join!(put(0), put(1));
            let winner = match (&one, &two) {
                (Ok(()), Err(StoreError::AlreadyExists { .. })) => 0,
                (Err(StoreError::AlreadyExists { .. }), Ok(())) => 1,
                other => panic!("round {round} gave {other:?}"),
            };
            let read = stores[0].get(&key).await.unwrap();
            assert!(read == vec![winner; upload::PART + 1], "round {round}");
        }
        stores[0].delete_prefix("long").await.unwrap();
        assert_eq!(left(&stores[0]).await, Vec::<String>::new(), "the loser's parts stay");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_objects_than_one_page_lists_are_deleted_with_their_prefix() {
    for start in SERVERS {
        let server = start();
        server.make_bucket("bucket");
        let store = store_on(&server, "s3://bucket/p");
        let puts = (0..1100).map(|n| {
            let store = store.clone();
            async move { store.put(&format!("many/{n}"), Bytes::new()).await }
        });
        let _: Vec<()> = stream::iter(puts).buffered(32).try_collect().await.unwrap();
        store.put("manyfold", Bytes::new()).await.unwrap();
        store.delete_prefix("many").await.unwrap();
        assert_eq!(left(&store).await, ["p/manyfold="]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_writer_has_uploaded_goes_with_the_prefix() {
    for start in SERVERS {
        let server = start();
        server.make_bucket("bucket");
        let store = store_on(&server, "s3://bucket/p");
        for key in ["runs/7/x", "runs/70/x"] {
            let upload = store.bucket.begin(&store.key_of(key), "mark").await.unwrap();
            store.bucket.upload(&upload, 1, content(5 << 20)).await.unwrap();
        }
        store.delete_prefix("runs/7").await.unwrap();
        assert_eq!(left(&store).await, ["p/runs/70/x="]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_aborted_cannot_be_completed_any_more() {
    for start in SERVERS {
        let server = start();
        server.make_bucket("bucket");
        let bucket = store_on(&server, "s3://bucket").bucket;
        let upload = bucket.begin("object", "mark").await.unwrap();
        let part = bucket.upload(&upload, 1, content(7)).await.unwrap();
        bucket.abort("object", &upload.id).await.unwrap();
        bucket.abort("object", &upload.id).await.unwrap();
        assert_eq!(bucket.complete(&upload, vec![part], true).await, Err(Trouble::Ended));
        assert_eq!(bucket.head("object").await.unwrap_err(), Trouble::Missing);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_objects_are_read_in_pieces_at_any_place() {
    let server = Server::ministack();
    server.make_bucket("bucket");
    let store = store_on(&server, "s3://bucket");
    let long = content(2 * upload::PART + 12_345);
    store.put("long", long.clone()).await.unwrap();
    assert!(store.get("long").await.unwrap() == long);
    let piece = PIECE as usize;
    let ranges = [
        0..long.len(),
        piece - 1..piece + 1,
        piece..3 * piece,
        5..5,
        long.len() - 1..long.len(),
    ];
    let asked: Vec<_> = ranges
        .iter()
        .map(|range| range.start as u64..range.end as u64)
        .collect();
    let read = store.get_ranges("long", &asked).await.unwrap();
    for (range, bytes) in ranges.into_iter().zip(read) {
        assert!(bytes == long.slice(range.clone()), "{range:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_on_disk_is_there_after_the_server_was_killed_and_started_again() {
    let mut server = Server::seaweedfs();
    server.make_bucket("bucket");
    let store = store_on(&server, "s3://bucket");
    store.put("kept", content(100_000)).await.unwrap();
    server.kill();
    let error = store.get("kept").await.unwrap_err();
    assert!(
        error.is_retryable() && error.to_string().contains("cannot be reached"),
        "{error}"
    );
    server.restart();
    assert!(store.get("kept").await.unwrap() == content(100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_whose_answer_was_lost_has_still_succeeded() {
    let server = Server::ministack();
    server.make_bucket("bucket");
    let proxy = Forgetful::before(&server).await;
    let address = Address::parse("s3://bucket").unwrap();
    let bucket = Bucket::with(&address, &config_of(&proxy.endpoint, ACCESS_KEY, SECRET_KEY));
    let store = S3Store::looked(S3Store::at(address, bucket)).unwrap();
    for (key, length) in [("short", 10), ("long", upload::PART + 1)] {
        for method in ["PUT ", "POST "] {
            let key = format!("{key}/{}", method.trim());
            let losses = proxy.lose_next(method);
            store.put(&key, content(length)).await.unwrap();
            assert!(store.get(&key).await.unwrap() == content(length));
            let again = store.put(&key, content(length)).await;
            assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
            let is_sent = length > 10 || method == "PUT ";
            assert_eq!(losses(), usize::from(is_sent), "{key}: it was to be lost");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_said_when_the_store_is_opened() {
    for start in SERVERS {
        let server = start();
        let error = store_with(&server, "s3://nobucket/x", SECRET_KEY).unwrap_err();
        let said = error.to_string();
        assert!(!error.is_retryable(), "{said}");
        assert!(
            said.contains("there is no bucket nobucket") && said.contains("aws s3 mb"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_not_valid_are_said_with_what_to_set() {
    let server = Server::seaweedfs();
    server.make_bucket("bucket");
    let error = store_with(&server, "s3://bucket", "wrong").unwrap_err();
    let said = error.to_string();
    assert!(!error.is_retryable(), "{said}");
    assert!(
        said.contains("SignatureDoesNotMatch") && said.contains("set AWS_ACCESS_KEY_ID"),
        "{said}"
    );
}

#[tokio::test]
async fn a_url_that_names_no_place_is_refused_with_its_form() {
    let said = store::open("s3://Up").unwrap_err().to_string();
    assert!(said.contains("s3://BUCKET[/PREFIX]"), "{said}");
    // A worker finds out when it needs the place.
    let worker = store::open("s3://bucket/p?endpoint=http://127.0.0.1:9&role=worker").unwrap();
    assert_eq!(worker.url(), "s3://bucket/p?endpoint=http://127.0.0.1:9&role=worker");
    assert!(worker.is_shared());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_told_where_the_coordinators_surroundings_have_the_bucket() {
    let server = Server::ministack();
    server.make_bucket("bucket");
    let store = store_on(&server, "s3://bucket/p");
    let expected = format!("s3://bucket/p?endpoint={}&role=worker", server.endpoint());
    assert_eq!(store.url(), expected);
    // What people read is what they wrote.
    assert_eq!(format!("{store:?}"), "S3Store(s3://bucket/p)");
}

#[test]
fn a_range_is_cut_into_pieces_that_cover_it() {
    for range in [0..0, 5..6, 0..PIECE, 1..PIECE + 2, 7..3 * PIECE + 7] {
        let pieces: Vec<_> = pieces(&range).collect();
        assert!(
            pieces
                .iter()
                .all(|piece| !piece.is_empty() && piece.end - piece.start <= PIECE)
        );
        assert_eq!(
            pieces.iter().map(|piece| piece.end - piece.start).sum::<u64>(),
            range.end - range.start
        );
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
}

/// Stands before a server, and loses the answer to a request that the server has carried out.
struct Forgetful {
    endpoint: String,
    loses: Arc<parking_lot::Mutex<(String, usize)>>,
}

impl Forgetful {
    async fn before(server: &Server) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let behind = server.endpoint().trim_start_matches("http://").to_string();
        let loses = Arc::new(parking_lot::Mutex::new((String::new(), 0)));
        let told = loses.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Self::pass(client, behind.clone(), told.clone()));
            }
        });
        Forgetful { endpoint, loses }
    }

    /// The next request that completes a write with this method; the result says how many answers have been lost since.
    fn lose_next(&self, method: &str) -> impl Fn() -> usize + use<> {
        *self.loses.lock() = (method.to_string(), 0);
        let loses = self.loses.clone();
        move || loses.lock().1
    }

    /// Whether this is the beginning of a request whose answer is to be lost: the one that makes an object be there.
    fn is_lost(request: &[u8], method: &str) -> bool {
        let line = String::from_utf8_lossy(&request[..request.len().min(2000)]).into_owned();
        let line = line.lines().next().unwrap_or_default().to_string();
        let is_completion = line.contains("uploadId=") && !line.contains("partNumber=");
        let is_whole = line.starts_with("PUT ") && !line.contains("uploadId=");
        let is_part = line.contains("partNumber=1");
        !method.is_empty() && line.starts_with(method) && (is_completion || is_whole || is_part)
    }

    async fn pass(mut client: tokio::net::TcpStream, behind: String, loses: Arc<parking_lot::Mutex<(String, usize)>>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let Ok(mut server) = tokio::net::TcpStream::connect(behind).await else {
            return;
        };
        let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut loses_answer = false;
        loop {
            tokio::select! {
                asked = client.read(&mut question) => {
                    let Ok(length @ 1..) = asked else { return };
                    if Self::is_lost(&question[..length], &loses.lock().0) {
                        loses_answer = true;
                        loses.lock().0.clear();
                    }
                    if server.write_all(&question[..length]).await.is_err() { return }
                }
                answered = server.read(&mut answer) => {
                    let Ok(length @ 1..) = answered else { return };
                    if loses_answer && !answer[..length].starts_with(b"HTTP/1.1 100") {
                        loses.lock().1 += 1;
                        return; // Both connections end.
                    }
                    if client.write_all(&answer[..length]).await.is_err() { return }
                }
                () = tokio::time::sleep(Duration::from_secs(60)) => return,
            }
        }
    }
}
