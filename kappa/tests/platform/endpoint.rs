//! Real endpoints for the tests of the platform `http`: processes of their own, which serve on loopback and can be killed.

use kappa::platform::http::{FunctionSecret, FunctionServer, HttpFunction, HttpFunctionOptions, ServerOptions};
use kappa::store::{FileStore, Store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const SECRET: &str = "a-secret-for-the-tests-of-endpoints";

/// Set for endpoints: the address to listen on, how many orders at once, and the memory of each.
const VARIABLE: &str = "KAPPA_TEST_ENDPOINT";

/// Not a test, unless it is told so: an endpoint is this test binary, told to run this function only. So are its worker processes.
#[test]
fn serving() {
    kappa::serve_if_worker();
    let Ok(described) = std::env::var(VARIABLE) else { return };
    // It ends with the test, however that ends.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let described: Vec<_> = described.split(' ').collect();
    let [listen, workers, memory] = described.as_slice() else {
        panic!("{described:?}")
    };
    let options = ServerOptions {
        workers: workers.parse().unwrap(),
        memory_limit: memory.parse().ok(),
        arguments: ["--exact", "endpoint::serving", "--nocapture"]
            .map(String::from)
            .to_vec(),
        drain: Duration::from_secs(3),
        slowness: Duration::from_secs(2),
        payload_limit: 8 << 20,
        ..ServerOptions::new(listen.parse().unwrap(), FunctionSecret::from_environment().unwrap())
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        let server = FunctionServer::start(options).await.unwrap();
        println!("\nendpoint {}", server.address().unwrap());
        let end = async move {
            let _ = terminated.recv().await;
        };
        server.serve(end).await;
    });
    std::process::exit(0);
}

/// An endpoint that runs.
pub(crate) struct Endpoint {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    pub(crate) fn start(workers: usize, memory_limit: Option<u64>) -> Self {
        Self::start_at("127.0.0.1:0", workers, memory_limit)
    }

    /// At this address, which may be that of one that was killed.
    pub(crate) fn start_at(listen: &str, workers: usize, memory_limit: Option<u64>) -> Self {
        let memory = memory_limit.map_or("none".to_string(), |limit| limit.to_string());
        let mut process = Command::new("/proc/self/exe")
            .args(["--exact", "endpoint::serving", "--nocapture"])
            .env(VARIABLE, format!("{listen} {workers} {memory}"))
            .env(kappa::platform::http::SECRET_VARIABLE, SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines
            .map_while(Result::ok)
            .find(|line| line.starts_with("endpoint "))
            .expect("it serves");
        let address = line["endpoint ".len()..].parse().unwrap();
        Endpoint { process, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id() as i32), signal).unwrap();
    }

    /// How it ended; it must.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The platform that gives orders to this URL, with a store of its own.
pub(crate) fn platform(
    url: &str,
    adjust: impl FnOnce(&mut HttpFunctionOptions),
) -> (Arc<HttpFunction>, Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(folder.path()).unwrap());
    let mut options = HttpFunctionOptions::new(url, FunctionSecret::new(SECRET).unwrap());
    options.workers = 2;
    adjust(&mut options);
    (Arc::new(HttpFunction::new(options, &store).unwrap()), store, folder)
}
