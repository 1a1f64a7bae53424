use super::*;
use std::io::{BufRead, BufReader};

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn closes(port: u16) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        if !is_open(port) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn servers_serve_end_with_their_owner_and_leave_nothing() {
    for start in [Server::ministack, Server::seaweedfs] {
        let mut server = start();
        server.make_bucket("some");
        let (port, folder) = (server.ports[0], server.folder().to_path_buf());
        server.restart();
        assert!(server.serves());
        server.pause();
        server.go_on();
        assert!(server.serves());
        drop(server);
        assert!(!is_open(port));
        assert!(!folder.exists());
    }
}

#[test]
#[ignore = "started and killed by another"]
fn starts_a_server_and_waits() {
    let server = Server::ministack();
    println!("port: {}", server.ports[0]);
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn a_server_does_not_outlive_the_kill_of_its_owner() {
    let mut owner = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "tests::starts_a_server_and_waits",
            "--include-ignored",
            "--nocapture",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test, once more");
    let said = BufReader::new(owner.stdout.take().expect("its output"));
    let port = said
        .lines()
        .find_map(|line| line.expect("a line").split_once("port: ")?.1.parse().ok())
        .expect("a port");
    assert!(is_open(port));
    owner.kill().expect("killed");
    owner.wait().expect("gone");
    assert!(closes(port), "the server on port {port} goes on");
}

#[test]
fn what_a_process_has_started_is_found_however_deep() {
    let mut shell = Command::new("sh")
        .args(["-c", "sh -c 'sleep 60; true'; true"])
        .spawn()
        .expect("a shell");
    let begin = Instant::now();
    while processes::below(shell.id()).len() < 2 && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let found = processes::below(shell.id());
    shell.kill().expect("killed");
    shell.wait().expect("gone");
    for process in &found {
        kill(*process, Signal::SIGKILL).expect("it was there");
    }
    assert_eq!(found.len(), 2, "a shell and what it waits for");
}
