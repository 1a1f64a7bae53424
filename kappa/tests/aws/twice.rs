//! A way to Lambda that delivers every invocation twice, at the same time, and passes on whichever answer comes first.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

/// A proxy on a port of its own.
pub(crate) struct Twice {
    address: SocketAddr,
    doubled: Arc<AtomicU64>,
}

impl Twice {
    /// Before the server at this URL.
    pub(crate) fn before(server: &str) -> Self {
        let to: SocketAddr = server.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let twice = Twice {
            address: listener.local_addr().unwrap(),
            doubled: Arc::default(),
        };
        let doubled = twice.doubled.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let doubled = doubled.clone();
                std::thread::spawn(move || pass(connection, to, &doubled));
            }
        });
        twice
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many invocations were delivered twice.
    pub(crate) fn doubled(&self) -> u64 {
        self.doubled.load(Ordering::SeqCst)
    }
}

/// One request; the connection ends with its answer.
fn pass(mut connection: TcpStream, to: SocketAddr, doubled: &AtomicU64) {
    let Some(request) = read(&mut connection) else { return };
    let is_invocation = request.windows(12).any(|window| window == b"/invocations");
    doubled.fetch_add(u64::from(is_invocation), Ordering::SeqCst);
    let (answered, answers) = channel();
    for _ in 0..if is_invocation { 2 } else { 1 } {
        let (request, answered) = (request.clone(), answered.clone());
        std::thread::spawn(move || {
            let mut answer = Vec::new();
            let mut server = TcpStream::connect(to).unwrap();
            let asked = server
                .write_all(&request)
                .and_then(|()| server.read_to_end(&mut answer));
            if asked.is_ok() {
                // The other may have been first.
                let _ = answered.send(answer);
            }
        });
    }
    drop(answered);
    if let Ok(answer) = answers.recv() {
        let _ = connection.write_all(&answer);
    }
    let _ = connection.shutdown(Shutdown::Both);
}

/// A request with its body, so changed that the server ends the connection after its answer.
fn read(connection: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = connection.read(&mut buffer).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&buffer[..length]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            let mut request = bytes[..end].to_vec();
            request.extend_from_slice(b"\r\nconnection: close");
            request.extend_from_slice(&bytes[end..]);
            return Some(request);
        }
    }
}
