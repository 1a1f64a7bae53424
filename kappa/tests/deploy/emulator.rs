//! An emulator, what there is in it, and the commands that change that.

use kappa_test_servers::Server;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The bucket that there is in each of them.
pub(crate) const BUCKET: &str = "the-bucket";

/// One emulator, and a folder for programs.
pub(crate) struct Emulator {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
}

/// What a command has left behind for its user.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// For a command that has done what it was to do.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// For one that has not.
    #[track_caller]
    pub(crate) fn refused(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

impl Emulator {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Self {
        let server = Server::ministack_with(variables);
        server.make_bucket(BUCKET);
        let folder = tempfile::tempdir().unwrap();
        Emulator { server, folder }
    }

    /// A file that is a program for Lambda as far as can be seen without running it. Nothing here runs it.
    pub(crate) fn program(&self, content: &[u8]) -> PathBuf {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
        bytes.extend(format!("made with kappa {};", env!("CARGO_PKG_VERSION")).bytes());
        bytes.extend(content);
        let path = self.folder.path().join("program");
        fs::write(&path, bytes).unwrap();
        path
    }

    /// `kappa` with these arguments; it talks to `endpoint`.
    pub(crate) fn command(&self, endpoint: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kappa"));
        self.server.serve(&mut command);
        command
            .env("AWS_ENDPOINT_URL", endpoint)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn kappa(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(&self.server.endpoint(), arguments).output().unwrap())
    }

    /// Deploys with a role made for the function, and these options.
    pub(crate) fn deploy(&self, name: &str, program: &Path, options: &[&str]) -> Said {
        let program = program.to_str().unwrap();
        let mut arguments = vec!["deploy", name, "--program", program, "--create-role"];
        arguments.extend(options);
        self.kappa(&arguments)
    }

    /// All that there is in the emulator: functions, roles with their policies, log groups, objects.
    pub(crate) fn listing(&self) -> Vec<String> {
        let functions = self.ask("lambda", "GET", "/2015-03-31/functions", &[], "");
        let roles = self.iam("Action=ListRoles&Version=2010-05-08");
        let details = self.iam("Action=GetAccountAuthorizationDetails&Version=2010-05-08&Filter.member.1=Role");
        let target = [
            ("x-amz-target", "Logs_20140328.DescribeLogGroups"),
            ("content-type", "application/x-amz-json-1.1"),
        ];
        let groups = self.ask("logs", "POST", "/", &target, "{}");
        let objects = self.ask("s3", "GET", &format!("/{BUCKET}?list-type=2"), &[], "");
        vec![functions, roles, details, groups, objects]
    }

    fn iam(&self, body: &str) -> String {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.ask("iam", "POST", "/", &form, body);
        // What follows is the number of the request.
        answer.split("<ResponseMetadata>").next().unwrap().to_string()
    }

    /// What the emulator answers to a request of a service, without retries and signature.
    pub(crate) fn ask(&self, service: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let url = format!("{}{path}", self.server.endpoint());
        let method = method.parse().unwrap();
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut request = reqwest::Client::new()
            .request(method, url)
            .header("authorization", scope);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
            answer.text().await.unwrap()
        })
    }

    /// Nothing of a function's is there, nor anything that names it.
    #[track_caller]
    pub(crate) fn assert_nothing_of(&self, name: &str) {
        for list in self.listing() {
            assert!(!list.contains(name), "{name} is in {list}");
        }
    }
}
