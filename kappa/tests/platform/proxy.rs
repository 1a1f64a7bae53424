//! A bad way between workers and coordinator: one that can be closed, frozen, and cut in the middle of what passes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Nothing passes, nothing is closed: as under SIGSTOP.
    frozen: AtomicBool,
    /// Every so many bytes of replies the connection is cut; 0 is never.
    cut_after: AtomicU64,
    /// Bytes of replies that have passed.
    passed: AtomicU64,
    cuts: AtomicU64,
}

impl Proxy {
    /// A port is there, but nobody accepts connections until [`Proxy::begin`].
    pub(crate) fn bind() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        (proxy, listener)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn begin(&self, listener: TcpListener, to: SocketAddr) {
        let state = self.state.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (Ok(theirs), Ok(ours)) = (connection, TcpStream::connect(to)) else {
                    continue;
                };
                let _ = (theirs.set_nodelay(true), ours.set_nodelay(true));
                let (from, into) = (theirs.try_clone().unwrap(), ours.try_clone().unwrap());
                let there = state.clone();
                std::thread::spawn(move || pass(from, into, &there, false));
                let back = state.clone();
                std::thread::spawn(move || pass(ours, theirs, &back, true));
            }
        });
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.state.frozen.store(frozen, Ordering::SeqCst);
    }

    pub(crate) fn cut_after(&self, bytes: u64) {
        self.state.cut_after.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut into: TcpStream, state: &State, are_replies: bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        while state.frozen.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut allowed = length;
        let limit = state.cut_after.load(Ordering::SeqCst);
        if are_replies && limit > 0 {
            let before = state.passed.fetch_add(length as u64, Ordering::SeqCst);
            let until = limit - before % limit;
            if length as u64 > until {
                allowed = until as usize;
                state.cuts.fetch_add(1, Ordering::SeqCst);
            }
        }
        if into.write_all(&buffer[..allowed]).is_err() || allowed < length {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), into.shutdown(Shutdown::Both));
}
