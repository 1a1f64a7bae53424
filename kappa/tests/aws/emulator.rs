//! An emulator of AWS, and functions in it.

use crate::tasks::{Yes, invocation};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, Runtime};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use kappa::TaskCall;
use kappa::link::http::{HttpOptions, HttpServer};
use kappa::platform::Platform;
use kappa::platform::aws::{Aws, AwsOptions};
use kappa::protocol::InvocationOutcome;
use kappa::store::Store;
use kappa::task::TaskFunction;
use kappa_test_servers::{ACCESS_KEY, REGION, SECRET_KEY, Server};
use std::io::{Cursor, Write};
use std::process::Command;
use std::sync::Arc;
use zip::write::SimpleFileOptions;

/// Set in the processes of [`inside`].
const INSIDE: &str = "KAPPA_TEST_INSIDE";

/// The bucket that is there.
pub(crate) const BUCKET: &str = "bucket";

/// An emulator, seen from a test.
pub(crate) struct Emulator {
    endpoint: String,
    lambda: Client,
}

/// A server whose functions may be as many at once as the tests want.
pub(crate) fn server() -> Server {
    let server = Server::ministack_with(&[("LAMBDA_ACCOUNT_CONCURRENCY", "100")]);
    server.make_bucket(BUCKET);
    server
}

/// Runs a test in a process of its own, in which AWS is an emulator.
pub(crate) fn inside(name: &str, test: impl AsyncFnOnce(Emulator)) {
    inside_with(name, |_| Vec::new(), test);
}

/// The same, with these variables too.
pub(crate) fn inside_with(
    name: &str,
    variables: impl FnOnce(&Server) -> Vec<(&'static str, String)>,
    test: impl AsyncFnOnce(Emulator),
) {
    if let Ok(endpoint) = std::env::var(INSIDE) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(test(Emulator::at(&endpoint)));
    }
    let server = server();
    let (_crate, name) = name.split_once("::").unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(INSIDE, server.endpoint());
    server.serve(&mut again).envs(variables(&server));
    let status = again.status().unwrap();
    assert!(status.success(), "{name}: {status}");
}

impl Emulator {
    pub(crate) fn at(endpoint: &str) -> Self {
        let tls = Provider::Rustls(CryptoMode::Ring);
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .endpoint_url(endpoint)
            .build();
        Emulator {
            endpoint: endpoint.to_string(),
            lambda: Client::from_conf(config),
        }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// From now on the function has room for so many at once.
    pub(crate) async fn reserve(&self, name: &str, at_once: i32) {
        let reserving = self.lambda.put_function_concurrency().function_name(name);
        reserving.reserved_concurrent_executions(at_once).send().await.unwrap();
    }

    /// What a function answers to an event.
    pub(crate) async fn invoke(&self, name: &str, event: &str) -> String {
        let asked = self.lambda.invoke().function_name(name).payload(Blob::new(event));
        let answer = asked.send().await.unwrap();
        String::from_utf8_lossy(answer.payload().unwrap().as_ref()).into_owned()
    }

    /// A function whose program is this test binary.
    pub(crate) async fn make_this(&self, name: &str, seconds: i32) {
        let this = std::env::current_exe().unwrap();
        let bootstrap = format!("#!/bin/sh\nexec '{}' --exact serving --nocapture\n", this.display());
        self.make(name, bootstrap.as_bytes(), seconds).await;
    }

    /// A function with this program; Lambda ends it after so many seconds.
    pub(crate) async fn make(&self, name: &str, bootstrap: &[u8], seconds: i32) {
        // Not where S3 is: on an emulator too a lambda must learn that from its orders.
        let variables = Environment::builder().variables(MARK, &self.endpoint).build();
        let code = FunctionCode::builder().zip_file(Blob::new(zipped(bootstrap))).build();
        let made = self
            .lambda
            .create_function()
            .function_name(name)
            .runtime(Runtime::Providedal2023)
            .handler("bootstrap")
            .role("arn:aws:iam::000000000000:role/lambda")
            .timeout(seconds)
            .memory_size(256)
            .environment(variables)
            .code(code);
        made.send().await.unwrap();
    }
}

/// The variable by which a test finds its emulator's lambdas.
pub(crate) const MARK: &str = "KAPPA_TEST_EMULATOR_OF";

/// The package of a program.
fn zipped(bootstrap: &[u8]) -> Vec<u8> {
    let mut package = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o755);
    package.start_file("bootstrap", options).unwrap();
    package.write_all(bootstrap).unwrap();
    package.finish().unwrap().into_inner()
}

/// A store that lambdas reach.
pub(crate) fn store() -> Arc<dyn Store> {
    kappa::store::open(&format!("s3://{BUCKET}/test")).unwrap()
}

pub(crate) fn http() -> Arc<HttpServer> {
    Arc::new(HttpServer::start(HttpOptions::default()).unwrap())
}

/// The platform with this function.
pub(crate) async fn platform(function: &str, workers: usize, http: Option<Arc<HttpServer>>) -> Arc<dyn Platform> {
    let options = AwsOptions {
        workers,
        http,
        ..AwsOptions::new(function)
    };
    Arc::new(Aws::new(options, &store()).await.unwrap())
}

/// How a call ends on a platform, and what its coordinator was told.
pub(crate) async fn outcome<F: TaskFunction>(
    platform: &Arc<dyn Platform>,
    call: TaskCall<F>,
) -> (InvocationOutcome, Arc<Yes>) {
    let link = Arc::new(Yes::default());
    (platform.invoke(invocation(call), link.clone()).await, link)
}
