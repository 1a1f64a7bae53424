//! Stands before a server and stops at one request: before the server has got it, or after the server has carried it out and before anybody is told.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// At which of its sides the request is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It is on its way to the server, and stays so.
    Before,
    /// It has been carried out.
    After,
}

struct Plan {
    /// How many requests are to come first.
    stops_at: Option<usize>,
    side: Side,
    seen: usize,
    /// Requests by which an object came to be, as the server has said.
    completions: usize,
}

pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    plan: Arc<Mutex<Plan>>,
    stopped: Receiver<Vec<u8>>,
    server: String,
}

impl Proxy {
    pub(crate) fn before(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_string();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its number"));
        let plan = Arc::new(Mutex::new(Plan {
            stops_at: None,
            side: Side::Before,
            seen: 0,
            completions: 0,
        }));
        let (sender, stopped) = channel();
        let (told, behind) = (plan.clone(), server.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (plan, sender, server) = (told.clone(), sender.clone(), behind.clone());
                std::thread::spawn(move || pass(client, &server, &plan, &sender));
            }
        });
        Proxy {
            endpoint,
            plan,
            stopped,
            server,
        }
    }

    /// Stops at the request after so many; or at none.
    pub(crate) fn stop_at(&self, stops_at: Option<usize>, side: Side) {
        *self.plan.lock().expect("the plan") = Plan {
            stops_at,
            side,
            seen: 0,
            completions: 0,
        };
    }

    /// The request that it has stopped at; `None` if it does not come to that within so long.
    pub(crate) fn stopped(&self, within: Duration) -> Option<Vec<u8>> {
        self.stopped.recv_timeout(within).ok()
    }

    /// Goes on counting, and stops at none any more.
    pub(crate) fn go_on(&self) {
        self.plan.lock().expect("the plan").stops_at = None;
    }

    /// How many objects have come to be.
    pub(crate) fn completions(&self) -> usize {
        self.plan.lock().expect("the plan").completions
    }

    /// Brings the request to the server after all.
    pub(crate) fn deliver(&self, request: &[u8]) {
        let mut server = TcpStream::connect(&self.server).expect("the server");
        server.write_all(request).expect("delivered");
        if let Some(answer) = answer(&mut server, request) {
            self.count(request, &answer);
        }
    }

    fn count(&self, request: &[u8], answer: &[u8]) {
        count(&self.plan, request, answer);
    }
}

fn count(plan: &Mutex<Plan>, request: &[u8], answer: &[u8]) {
    let line = first_line(request);
    let completes = line.starts_with("POST") && line.contains("uploadId=") && answer.starts_with(b"HTTP/1.1 200");
    plan.lock().expect("the plan").completions += usize::from(completes);
}

pub(crate) fn first_line(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(&request[..request.len().min(4096)]).into_owned();
    text.lines().next().unwrap_or_default().to_string()
}

/// One request after the other, each with its answer; returns when one side has had enough.
fn pass(mut client: TcpStream, server: &str, plan: &Mutex<Plan>, sender: &Sender<Vec<u8>>) {
    let mut server = TcpStream::connect(server).expect("the server");
    while let Some(request) = request(&mut client) {
        let stops = {
            let mut plan = plan.lock().expect("the plan");
            plan.seen += 1;
            (plan.stops_at == Some(plan.seen - 1)).then_some(plan.side)
        };
        if stops == Some(Side::Before) {
            let _ = sender.send(request);
            // The client waits for an answer that never comes.
            let _ = client.read(&mut [0]);
            return;
        }
        if server.write_all(&request).is_err() {
            break;
        }
        let Some(answer) = answer(&mut server, &request) else {
            break;
        };
        count(plan, &request, &answer);
        if stops == Some(Side::After) {
            let _ = sender.send(request);
            let _ = client.read(&mut [0]);
            return;
        }
        if client.write_all(&answer).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// The answer to this request.
fn answer(stream: &mut TcpStream, request: &[u8]) -> Option<Vec<u8>> {
    let mut answer = head(stream)?;
    // What is said of an object without sending it has the object's length.
    if !request.starts_with(b"HEAD ") {
        body(stream, &mut answer)?;
    }
    Some(answer)
}

/// A whole request.
fn request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = head(stream)?;
    body(stream, &mut request)?;
    Some(request)
}

fn head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    until(stream, &mut head, b"\r\n\r\n")?;
    Some(head)
}

/// Adds as much as the head announces.
fn body(stream: &mut TcpStream, message: &mut Vec<u8>) -> Option<()> {
    let head = String::from_utf8_lossy(message).to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("transfer-encoding:") == Some("chunked") {
        return until(stream, message, b"\r\n0\r\n\r\n");
    }
    let length = field("content-length:").map_or(Ok(0), str::parse).ok()?;
    let begin = message.len();
    message.resize(begin + length, 0);
    stream.read_exact(&mut message[begin..]).ok()
}

fn until(stream: &mut TcpStream, message: &mut Vec<u8>, end: &[u8]) -> Option<()> {
    let mut byte = [0];
    while !message.ends_with(end) {
        stream.read_exact(&mut byte).ok()?;
        message.push(byte[0]);
    }
    Some(())
}
