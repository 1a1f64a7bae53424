//! The servers by TLS: with certificates of an authority that the test makes by `openssl`.

use crate::servers::{Server, free_port};
use bytes::Bytes;
use kappa::Kappa;
use kappa::prelude::*;
use kappa::runtime::Condition;
use kappa::store::{RedisStore, Store, conformance, open};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An authority, and the certificates it has signed.
struct Authority {
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let authority = Authority {
            folder: tempfile::tempdir().expect("a folder"),
        };
        // Each has a name of its own: of two with the same one, the signature alone tells which it was.
        let subject = format!("/CN=the authority {}", uuid::Uuid::new_v4());
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let ran = Command::new("openssl")
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("openssl");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for this name; gives the files of the certificate and of its key.
    fn sign(&self, name: &str) -> [PathBuf; 2] {
        std::fs::write(self.path("names"), format!("subjectAltName={name}\n")).expect("written");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=a server",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.pem",
        ]);
        [self.path("server.pem"), self.path("server.key")]
    }

    fn certificates(&self) -> PathBuf {
        self.path("ca.pem")
    }
}

/// A server that also listens by TLS; gives the port for that.
fn start([certificate, key]: &[PathBuf; 2], ca: &Path) -> (Server, u16) {
    let port = free_port();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let server = Server::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &text(certificate),
        "--tls-key-file",
        &text(key),
        "--tls-ca-cert-file",
        &text(ca),
        "--tls-auth-clients",
        "no",
    ]);
    (server, port)
}

#[kappa::task]
async fn count(cx: &mut Context, to: u64) -> u64 {
    let ballast = vec![1_u8; 100_000];
    let mut sum = 0;
    for n in 0..to {
        cx.checkpoint().await;
        sum += n;
    }
    sum + ballast.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn by_tls_stores_and_runs_are_as_without_and_a_lost_server_is_survived_and_healed() {
    let authority = Authority::new();
    let signed = authority.sign("IP:127.0.0.1,DNS:localhost");
    let ca = authority.certificates();
    let (mut one, first) = start(&signed, &ca);
    let (_two, second) = start(&signed, &ca);
    let url = format!("rediss://127.0.0.1:{first},localhost:{second}?ca={}", ca.display());
    conformance::check(open(&url).expect("a store")).await;

    let store = RedisStore::open(&url).expect("a store");
    store.put("a", Bytes::from(vec![7; 3_000_000])).await.expect("put");
    let worker = open(&store.url()).expect("a worker opens it by the same certificates");
    assert_eq!(worker.get("a").await.expect("get").len(), 3_000_000);

    let kappa = Kappa::builder().state(&url).build().await.expect("a place");
    let result = kappa.run(count(30)).await.expect("a result");
    assert_eq!(result, 435 + 100_000);
    one.kill();
    let result = kappa.run(count(30)).await.expect("a result without the first one");
    assert_eq!(result, 435 + 100_000);
    one.restart();
    crate::servers::wait_until("it has everything again", || {
        store
            .replicas()
            .iter()
            .all(|status| status.condition == Condition::Serving)
    });
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused_at_once_with_the_way_out() {
    let (authority, other) = (Authority::new(), Authority::new());
    let signed = authority.sign("IP:127.0.0.1");
    let (_server, port) = start(&signed, &authority.certificates());
    let by = |ca: &Path| format!("rediss://127.0.0.1:{port}?ca={}", ca.display());
    RedisStore::open(&by(&authority.certificates())).expect("trusted");

    let started = Instant::now();
    for (url, why) in [
        (by(&other.certificates()), "UnknownIssuer"),
        // For this name the same authority has not signed it.
        (
            by(&authority.certificates()).replace("127.0.0.1", "localhost"),
            "NotValidForName",
        ),
    ] {
        let refused = RedisStore::open(&url).expect_err("not trusted");
        let message = refused.to_string();
        assert!(
            message.contains("its certificate is not trusted") && message.contains(why) && message.contains("ca=FILE"),
            "{message}"
        );
        assert!(!refused.is_retryable(), "{message}");
    }
    // The system trusts neither of them, or nobody at all.
    let refused = RedisStore::open(&format!("rediss://127.0.0.1:{port}")).expect_err("not trusted");
    assert!(refused.to_string().contains("ca=FILE"), "{refused}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn certificates_that_are_none_are_refused_before_anybody_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").expect("written");
    for (file, why) in [
        (empty, "there is none in it"),
        (folder.path().join("missing.pem"), "No such file"),
    ] {
        let refused = open(&format!("rediss://127.0.0.1:1?ca={}", file.display())).expect_err("no certificates");
        let message = refused.to_string();
        assert!(
            message.contains(why) && message.contains(&*file.to_string_lossy()),
            "{message}"
        );
    }
}
