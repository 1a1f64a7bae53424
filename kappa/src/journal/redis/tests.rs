use super::super::conformance::{self, Place};
use super::*;
use crate::redis_servers::{Server, Servers, wait_until};
use crate::replicas::{Addresses, Condition};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

fn replicas(url: &str) -> Arc<Replicas> {
    Replicas::new(Addresses::parse(url).expect("addresses")).expect("a thread")
}

/// A new run on these servers; each `open` is another client.
struct Run {
    url: String,
    run: RunId,
}

impl Run {
    fn new(servers: &Servers) -> Self {
        Run {
            url: servers.url(),
            run: RunId::generate(),
        }
    }

    async fn create(&self) -> RedisJournal {
        RedisJournal::create(&replicas(&self.url), self.run)
            .await
            .expect("a journal")
    }

    async fn open(&self) -> Result<RedisJournal, JournalError> {
        RedisJournal::open(&replicas(&self.url), self.run).await
    }
}

impl Place for Run {
    fn open(&self) -> Arc<dyn Journal> {
        let opened = futures::executor::block_on(async {
            match self.open().await {
                Err(JournalError::NotFound { .. }) => Ok(self.create().await),
                opened => opened,
            }
        });
        Arc::new(opened.expect("a journal"))
    }
}

#[tokio::test]
async fn the_redis_journal_conforms_on_one_server() {
    let servers = Servers::start(1);
    conformance::check(|| Run::new(&servers)).await;
}

#[tokio::test]
async fn the_redis_journal_conforms_on_two_servers() {
    let servers = Servers::start(2);
    conformance::check(|| Run::new(&servers)).await;
}

#[tokio::test]
async fn a_second_coordinator_hears_that_the_journal_is_in_use_and_may_have_it_when_the_first_is_gone() {
    let servers = Servers::start(2);
    let run = Run::new(&servers);
    let first = run.create().await;
    first.append(vec![vec![1]]).await.expect("append");
    let refused = run.open().await.err().expect("an error");
    assert!(matches!(refused, JournalError::InUse { .. }), "{refused}");
    assert!(RedisJournal::create(&replicas(&run.url), run.run).await.is_err());
    first.append(vec![vec![2]]).await.expect("append");
    drop(first);
    let second = run.open().await.expect("free now");
    assert_eq!(second.load().await.expect("load"), (None, vec![vec![1], vec![2]]));
}

#[test]
fn only_a_new_beat_on_a_server_that_was_looked_at_before_is_a_sign_of_life() {
    let mut known = HashMap::new();
    let mut heard = |looks: &[(&str, Option<u8>)]| {
        let beats = looks
            .iter()
            .map(|(server, beat)| (server.to_string(), beat.map(|beat| vec![beat])));
        super::heard(&mut known, beats.collect())
    };
    assert!(!heard(&[("a", Some(1)), ("b", None)]), "the first look");
    assert!(!heard(&[("a", Some(1)), ("b", None)]), "nothing new");
    // One that was away, and then another, each with the last one that it was given.
    assert!(!heard(&[("a", Some(1)), ("c", Some(0))]));
    assert!(!heard(&[("a", Some(1)), ("c", Some(0)), ("d", Some(7))]));
    assert!(!heard(&[("a", None)]), "it has expired");
    assert!(!heard(&[]), "none answers");
    assert!(heard(&[("c", Some(2))]));
    assert!(!heard(&[("c", Some(2))]), "the same again");
    assert!(heard(&[("b", Some(3)), ("c", Some(2))]), "its first one");
}

#[tokio::test]
async fn r15_a_coordinator_whose_journal_was_taken_can_write_nothing_any_more() {
    let servers = Servers::start(2);
    let run = Run::new(&servers);
    let first = run.create().await;
    first.append(vec![vec![1]]).await.expect("append");
    // It hangs: no sign of life, but it will go on.
    first.beating.abort();
    let second = run.open().await.expect("taken after a while");
    for refused in [first.append(vec![vec![66]]).await, first.snapshot(vec![66]).await] {
        assert!(matches!(refused, Err(JournalError::InUse { .. })), "{refused:?}");
    }
    second.append(vec![vec![2]]).await.expect("append");
    second.snapshot(vec![12]).await.expect("snapshot");
    // Its number is free again, but not for this one.
    assert!(matches!(
        first.append(vec![vec![66]]).await,
        Err(JournalError::InUse { .. })
    ));
    drop(first);
    second.append(vec![vec![3]]).await.expect("still its own");
    assert_eq!(second.load().await.expect("load"), (Some(vec![12]), vec![vec![3]]));
    for server in &servers.0 {
        let values = server.values();
        assert_eq!(values.len(), 3, "{values:?}");
    }
}

#[tokio::test]
async fn what_a_server_may_lose_is_said_unless_the_objects_are_lost_with_it() {
    let servers = Servers::start(1);
    let journal = Run::new(&servers).create().await;
    assert!(journal.may_lose_its_end());
    assert!(!journal.beside_objects(true).may_lose_its_end());
}

#[tokio::test]
async fn a_run_that_is_not_there_is_not_found() {
    let servers = Servers::start(1);
    let refused = Run::new(&servers).open().await.err().expect("an error");
    assert!(matches!(refused, JournalError::NotFound { .. }), "{refused}");
    assert_eq!(servers.0[0].values(), Vec::<String>::new());
}

#[tokio::test]
async fn what_was_acknowledged_is_there_whichever_server_is_lost() {
    for lost in 0..2 {
        let mut servers = Servers::start(2);
        let run = Run::new(&servers);
        let journal = run.create().await;
        journal.append(vec![vec![1]]).await.expect("append");
        journal.snapshot(vec![11]).await.expect("snapshot");
        journal.append(vec![vec![2]]).await.expect("append");
        servers.0[lost].kill();
        journal.append(vec![vec![3]]).await.expect("append with one server");
        let expected = (Some(vec![11]), vec![vec![2], vec![3]]);
        assert_eq!(journal.load().await.expect("load"), expected);
        drop(journal);
        let again = run.open().await.expect("opened with one server");
        assert_eq!(again.load().await.expect("load"), expected);
        drop(again);
        // It comes back, and the other one goes: nothing is missing.
        servers.0[lost].restart();
        let watcher = run.open().await.expect("opened");
        wait_until("the server has everything again", || {
            servers.0[0].values() == servers.0[1].values()
                && watcher
                    .replicas
                    .status()
                    .iter()
                    .all(|status| status.condition == Condition::Serving)
        });
        servers.0[1 - lost].kill();
        watcher.append(vec![vec![4]]).await.expect("append");
        let expected = (Some(vec![11]), vec![vec![2], vec![3], vec![4]]);
        assert_eq!(watcher.load().await.expect("load"), expected);
    }
}

/// Gives all servers the same values under these keys.
fn fill(servers: &Servers, keys: &[String]) {
    for server in &servers.0 {
        let mut connection = redis_client(server);
        for some in keys.chunks(1000) {
            let mut pipeline = ::redis::pipe();
            for key in some {
                let value = "an id of 16 byte, and more";
                pipeline.cmd("SET").arg(key).arg(value).ignore();
            }
            pipeline.exec(&mut connection).expect("set");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_returns_with_its_disk_while_values_are_deleted_and_snapshots_taken_ends_with_what_the_other_has()
{
    let mut servers = Servers::start(2);
    let journal = Arc::new(Run::new(&servers).create().await);
    // So many that they are not compared in a moment, nor deleted before the server has returned.
    let keys: Vec<_> = (0..50_000).map(|number| format!("kappa:o:{number}")).collect();
    fill(&servers, &keys);
    servers.0[1].kill();
    journal.append(vec![vec![1]]).await.expect("append with one server");
    assert_eq!(journal.replicas.status()[1].condition, Condition::Lost);

    let is_over = Arc::new(AtomicBool::new(false));
    let deleting = {
        let (replicas, keys, is_over) = (journal.replicas.clone(), keys.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut deleted = 0_usize;
            for some in keys.chunks(5) {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                for key in some {
                    let done = replicas.delete(std::slice::from_ref(key), None).await;
                    done.expect("deleted");
                    deleted += 1;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            deleted
        })
    };
    let recording = {
        let (journal, is_over) = (journal.clone(), is_over.clone());
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..3 {
                    journal.append(vec![vec![2]]).await.expect("append");
                }
                journal.snapshot(vec![3]).await.expect("snapshot");
            }
            journal.snapshot(vec![4]).await.expect("snapshot");
        })
    };
    servers.0[1].restart();
    wait_until("the server has everything again", || {
        let status = journal.replicas.status();
        status.iter().all(|status| status.condition == Condition::Serving)
    });
    is_over.store(true, Ordering::Relaxed);
    let deleted = deleting.await.expect("deletions go on meanwhile");
    recording.await.expect("so does the run");

    assert!(deleted > 100, "only {deleted} were deleted meanwhile");
    let [stayed, returned] = [0, 1].map(|index: usize| servers.0[index].values());
    let only_there = returned.iter().find(|key| stayed.binary_search(key).is_err());
    assert_eq!(only_there, None, "it was deleted");
    assert!(stayed == returned, "{} there, {} here", stayed.len(), returned.len());
    assert_eq!(stayed.len(), keys.len() - deleted + 2, "the lease and the snapshot");
}

#[tokio::test]
async fn a_batch_that_reached_only_one_server_is_there_on_both_or_none_after_the_next_opening() {
    for reached in 0..2 {
        let servers = Servers::start(2);
        let run = Run::new(&servers);
        let journal = run.create().await;
        journal.append(vec![vec![1]]).await.expect("append");
        // What a coordinator leaves that dies in the middle of an append.
        let key = batch_key(run.run, 1);
        let value = [&[7; 16][..], &seal(&key, &join(&[vec![2]]))].concat();
        let client = redis_client(&servers.0[reached]);
        redis_set(client, &key, &value);
        drop(journal);
        let journal = run.open().await.expect("opened");
        let (_, records) = journal.load().await.expect("load");
        assert!(records == [vec![1]] || records == [vec![1], vec![2]], "{records:?}");
        assert_eq!(servers.0[0].values(), servers.0[1].values());
        journal.append(vec![vec![3]]).await.expect("append");
        let (_, records_now) = journal.load().await.expect("load");
        assert_eq!(records_now, [records, vec![vec![3]]].concat());
    }
}

fn redis_client(server: &Server) -> ::redis::Connection {
    let client = ::redis::Client::open(format!("redis://{}", server.address())).expect("an address");
    client.get_connection().expect("a connection")
}

fn redis_set(mut connection: ::redis::Connection, key: &str, value: &[u8]) {
    ::redis::cmd("SET")
        .arg(key)
        .arg(value)
        .exec(&mut connection)
        .expect("set");
}

#[tokio::test]
async fn a_server_that_has_forgotten_what_it_acknowledged_is_not_built_upon() {
    let servers = Servers::start(1);
    let run = Run::new(&servers);
    let journal = run.create().await;
    journal.append(vec![vec![1]]).await.expect("append");
    let _: u64 = servers.0[0].ask(&["DEL", &batch_key(run.run, 0)]);
    let refused = journal.append(vec![vec![2]]).await.expect_err("an error");
    assert!(
        refused.to_string().contains("lost what it had acknowledged"),
        "{refused}"
    );
    // It stays refused: nobody knows what is there.
    assert!(journal.append(vec![vec![2]]).await.is_err());
}

#[tokio::test]
async fn a_run_that_has_lost_its_lease_is_listed_and_says_so() {
    let servers = Servers::start(1);
    let run = Run::new(&servers);
    let journal = run.create().await;
    journal.append(vec![vec![1]]).await.expect("append");
    let _: u64 = servers.0[0].ask(&["DEL", &lease_key(run.run)]);
    let lost = journal.append(vec![vec![2]]).await.expect_err("an error");
    assert!(lost.to_string().contains("its lease is gone"), "{lost}");
    let replicas = journal.replicas.clone();
    assert_eq!(runs(&replicas).await.expect("runs"), [run.run]);
    let lost = run.open().await.err().expect("an error");
    assert!(
        lost.to_string().contains("its lease is gone") && lost.to_string().contains(&servers.0[0].address()),
        "{lost}"
    );
    // It can be removed, and whoever had the lease writes nothing more.
    let removing = RedisJournal::take(&replicas, run.run).await.expect("taken");
    assert!(journal.append(vec![vec![3]]).await.is_err());
    removing.delete().await.expect("deleted");
    drop((removing, journal));
    replicas.until_quiet().await;
    assert_eq!(runs(&replicas).await.expect("runs"), []);
    assert_eq!(servers.0[0].values(), Vec::<String>::new());
}

#[tokio::test]
async fn whoever_has_lost_the_lease_does_not_say_that_it_has_removed_the_run() {
    let servers = Servers::start(2);
    let run = Run::new(&servers);
    let first = run.create().await;
    first.append(vec![vec![1]]).await.expect("append");
    // It hangs: no sign of life, but it will go on.
    first.beating.abort();
    let second = run.open().await.expect("taken after a while");
    let refused = first.delete().await.expect_err("it is another's");
    assert!(matches!(refused, JournalError::InUse { .. }), "{refused}");
    assert_eq!(second.load().await.expect("load"), (None, vec![vec![1]]));
}

#[tokio::test]
async fn a_value_of_which_one_byte_has_changed_is_an_error_that_names_it() {
    for snapshot in [false, true] {
        let servers = Servers::start(1);
        let run = Run::new(&servers);
        let journal = run.create().await;
        journal.append(vec![vec![7; 100]]).await.expect("append");
        let (key, name) = match snapshot {
            true => (snapshot_key(run.run, 1), "its snapshot is damaged"),
            false => (batch_key(run.run, 0), "batch 0 is damaged"),
        };
        if snapshot {
            journal.snapshot(vec![7; 100]).await.expect("snapshot");
        }
        let _: u64 = servers.0[0].ask(&["SETRANGE", &key, "80", "x"]);
        let refused = journal.load().await.expect_err("damaged").to_string();
        assert!(refused.contains(name), "{refused}");
        drop(journal);
        let opened = match run.open().await {
            Ok(journal) => journal.load().await.map(|_| ()),
            Err(error) => Err(error),
        };
        let refused = opened.expect_err("damaged").to_string();
        assert!(refused.contains(name), "{refused}");
    }
}

#[tokio::test]
async fn a_journal_takes_what_the_server_takes_that_takes_least() {
    let small = Server::start(&["--proto-max-bulk-len", "1mb"]);
    let servers = Servers(vec![Server::start(&[]), small]);
    let journal = Run::new(&servers).create().await;
    let longest = journal.longest_snapshot();
    assert_eq!(longest, (1 << 20) - 16 - SEAL);
    journal.snapshot(vec![7; longest]).await.expect("it fits");
    let refused = journal
        .append(vec![vec![7; longest]])
        .await
        .expect_err("with its length it does not");
    assert!(refused.to_string().contains("proto-max-bulk-len"), "{refused}");
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_is_not_taken_for_none() {
    let servers = Servers::start(1);
    let run = Run::new(&servers);
    let journal = run.create().await;
    journal.append(vec![vec![1]]).await.expect("append");
    journal.snapshot(vec![11]).await.expect("snapshot");
    journal.append(vec![vec![2]]).await.expect("append");
    drop(journal);
    for damage in ["short", "without a mark, and longer than its id"] {
        let _: String = servers.0[0].ask(&["SET", &snapshot_key(run.run, 1), damage]);
        let refused = run.open().await.err().expect("an error");
        assert!(refused.to_string().contains("snapshot is damaged"), "{refused}");
    }
}

#[tokio::test]
async fn what_is_left_of_a_deletion_that_was_cut_short_goes_with_the_run() {
    let servers = Servers::start(2);
    let run = Run::new(&servers);
    let journal = run.create().await;
    journal.append(vec![vec![1]]).await.expect("append");
    // On the server that is not asked first only, wherever that is.
    for server in &servers.0 {
        let key = format!("{JOURNALS}{}/batch/{:020}", run.run, server.address().len());
        redis_set(redis_client(server), &key, &[7; 20]);
        let _: u64 = servers.0[0].ask(&["DEL", &key]);
    }
    journal.delete().await.expect("deleted");
    journal.replicas.until_quiet().await;
    for server in &servers.0 {
        assert_eq!(server.values(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_removed_journal_leaves_nothing() {
    let servers = Servers::start(2);
    let run = Run::new(&servers);
    let journal = run.create().await;
    for number in 0..5 {
        journal.append(vec![vec![number]]).await.expect("append");
    }
    let replicas = journal.replicas.clone();
    assert_eq!(runs(&replicas).await.expect("runs"), [run.run]);
    journal.delete().await.expect("deleted");
    replicas.until_quiet().await;
    assert_eq!(runs(&replicas).await.expect("runs"), []);
    for server in &servers.0 {
        assert_eq!(server.values(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn r17_what_a_snapshot_stands_for_is_deleted() {
    let servers = Servers::start(2);
    let run = Run::new(&servers);
    let journal = run.create().await;
    for round in 0..20 {
        for _ in 0..30 {
            journal.append(vec![vec![round; 1000]]).await.expect("append");
        }
        journal.snapshot(vec![round]).await.expect("snapshot");
        assert_eq!(servers.0[0].values().len(), 2, "the lease and the snapshot");
    }
}

#[tokio::test]
async fn batches_are_read_many_at_once_and_come_back_in_order() {
    let servers = Servers::start(1);
    let journal = Run::new(&servers).create().await;
    let expected: Vec<_> = (0..100).map(|number| vec![number]).collect();
    for record in &expected {
        journal.append(vec![record.clone()]).await.expect("append");
    }
    // As long as it does not answer, everything that it has been asked is waited for. It is not given up so soon.
    servers.0[0].pause();
    let asking = async {
        let started = Instant::now();
        while journal.replicas.pending() < READ_AT_ONCE && started.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let asked = journal.replicas.pending();
        servers.0[0].go_on();
        asked
    };
    let (loaded, asked) = tokio::join!(journal.load(), asking);
    assert_eq!(asked, READ_AT_ONCE);
    assert_eq!(loaded.expect("load"), (None, expected));
    assert!(journal.snapshot_floor() <= 1 << 20, "there are never very many of them");
}

const CHILD_URL: &str = "KAPPA_TEST_REDIS_JOURNAL";

/// The child of the next test: appends numbered records and says when each is safe, until it is killed.
#[test]
#[ignore = "a helper of r16_what_was_acknowledged_survives_sigkill_of_the_coordinator"]
fn child_that_appends_until_it_is_killed() {
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (url, run) = url.split_once('#').expect("url and run");
        let run = RunId::parse(run).expect("a run");
        let journal = RedisJournal::create(&replicas(url), run).await.expect("a journal");
        for number in 0u64.. {
            let mut record = vec![number as u8; 50_000];
            record[..8].copy_from_slice(&number.to_be_bytes());
            journal.append(vec![record, vec![7]]).await.expect("append");
            if number % 100 == 99 {
                journal.snapshot(number.to_be_bytes().to_vec()).await.expect("snapshot");
            }
            println!("\nsafe {number}");
        }
    });
}

#[tokio::test]
async fn r16_what_was_acknowledged_survives_sigkill_of_the_coordinator() {
    let servers = Servers::start(2);
    for kill_after in [1, 50, 230] {
        let run = Run::new(&servers);
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "journal::redis::tests::child_that_appends_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_URL, format!("{}#{}", run.url, run.run))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut safe = None;
        for line in output.lines().map_while(Result::ok) {
            let Some(number) = line.strip_prefix("safe ").and_then(|n| n.parse::<u64>().ok()) else {
                continue;
            };
            safe = Some(number);
            if number == kill_after {
                child.kill().expect("kill");
            }
        }
        child.wait().expect("its end");
        let safe = safe.expect("some records");
        assert!(safe >= kill_after);

        let journal = run.open().await.expect("opened");
        let (snapshot, records) = journal.load().await.expect("load");
        let behind = snapshot.map_or(0, |s| u64::from_be_bytes(s.try_into().expect("eight bytes")) + 1);
        let numbers: Vec<u64> = records
            .chunks(2)
            .map(|pair| {
                assert_eq!(pair.len(), 2, "half a batch");
                let (number, _) = pair[0].split_first_chunk::<8>().expect("a number");
                u64::from_be_bytes(*number)
            })
            .collect();
        let until = behind + numbers.len() as u64;
        assert_eq!(numbers, (behind..until).collect::<Vec<_>>());
        assert!(
            until > safe,
            "record {safe} was acknowledged, but there are only {until}"
        );
        journal.append(vec![vec![1], vec![2]]).await.expect("append");
    }
}
