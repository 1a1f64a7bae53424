//! The options that say on what a run is executed. Flattened into the command lines of all of Kappa's programs.

use super::parse;
use crate::Kappa;
use crate::journal::Durability;
use crate::link::http::{HttpOptions, HttpServer};
use crate::metrics::Metrics;
#[cfg(feature = "aws")]
use crate::platform::aws::{self, Aws, AwsOptions};
use crate::platform::chaos::{Chaos, Spec};
use crate::platform::http::{self, FunctionSecret, HttpFunction, HttpFunctionOptions, SecretError};
use crate::platform::in_process::{InProcess, InProcessOptions};
use crate::platform::process::{Process, ProcessOptions};
use crate::platform::{Platform, PlatformError};
use crate::record::folder::is_folder;
use crate::replicas::address;
use crate::runtime::state::State;
use crate::runtime::{BuildError, Builder};
use crate::store::{Store, StoreError, Temporary};
use clap::{Args, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// On what a run is executed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "On what it runs")]
pub struct RunOptions {
    /// What an invocation of a task is
    #[arg(long, value_enum, default_value_t, value_name = "PLATFORM")]
    pub platform: PlatformKind,

    /// Most invocations at once [default: one per processor; with platform `http` 100, with `aws` 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub workers: Option<u16>,

    /// How long an invocation may run, for example `2s`; the task goes on in a new one [default: without limit]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub time_limit: Option<Duration>,

    /// How much memory an invocation may use, for example `512MB`. The platform `process` enforces it; of a function it says how much that was given
    /// [default: without limit]
    #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
    pub memory_limit: Option<u64>,

    /// The function that carries out the work: the URL of an HTTP endpoint (platform `http`), or a name (platform `aws`)
    #[arg(long, value_name = "URL|NAME")]
    pub function: Option<String>,

    /// How worker processes make their calls (platform `process` only)
    #[arg(long, value_enum, default_value_t, value_name = "LINK")]
    pub link: LinkKind,

    /// Address for calls by HTTP, for example `0.0.0.0:7000`; whoever reaches it needs the run's secret [default: loopback, a free port]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// The URL by which workers elsewhere reach the address of `--listen`, for example `http://203.0.113.7:7000`. Without one, each call ends an
    /// invocation: slower, not wrong
    #[arg(long, value_name = "URL")]
    pub advertise: Option<String>,

    /// Where large values are kept: `memory:`, `file:DIR` (`file+sync:DIR` waits for the disk), `redis://HOST[:PORT][,HOST2[:PORT]..]` (`rediss://` for TLS) or `s3://BUCKET[/PREFIX]` [default: with the
    /// state, or else in memory or in a folder that is removed at the end]. A password of Redis is given by `?password-file=FILE` at the end, or by the
    /// environment variable KAPPA_REDIS_PASSWORD: what is in the URL itself is shown by `ps`
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,

    /// Folder, or Redis servers `redis://HOST[:PORT][,HOST2[:PORT]..]`, where the run is recorded, so that it can be resumed whatever happens. Passwords as
    /// for `--store`
    #[arg(long, value_name = "DIR|URL", value_parser = parse::state)]
    pub state: Option<PathBuf>,

    /// Make the state survive a loss of power, not only the death of every process: each call waits for the disk (a state in a folder only)
    #[arg(long, requires = "state")]
    pub sync: bool,

    /// Below this folder tasks may have files put (`put_object`), and nowhere else; may be given several times [default: the working directory, and the system's
    /// folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub objects_below: Vec<PathBuf>,

    /// Go on with a run although another build of the program has worked on it: no type that its tasks use has changed
    #[arg(long, requires = "state")]
    pub same_program: bool,

    /// Kill this share of invocations at random moments, for example `kill=0.3,seed=7`; the result stays the same
    #[arg(long, value_name = "SPEC")]
    pub chaos: Option<Spec>,

    /// Serve numbers for Prometheus at `/metrics` of this address, for example `9100` (this machine alone) or `0.0.0.0:9100`
    #[arg(long, value_name = "ADDRESS", value_parser = crate::metrics::parse_address)]
    pub metrics: Option<SocketAddr>,
}

/// The text of `--state` or `--store` as messages may show it: without passwords.
pub fn shown_place(place: &str) -> String {
    match address::is_url(place) {
        true => address::shown(place),
        false => place.to_string(),
    }
}

/// Whether the text of `--state` names servers, and no folder.
pub fn names_servers(place: &str) -> bool {
    address::is_url(place)
}

/// The platforms that a command line can name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlatformKind {
    /// A task of this process
    #[default]
    InProcess,
    /// A request to a worker process, which can be killed
    Process,
    /// A request to a function behind an HTTP endpoint: anything that runs `PROGRAM serve`
    Http,
    /// An invocation of a function of AWS Lambda
    #[cfg(feature = "aws")]
    Aws,
}

impl PlatformKind {
    /// Whether its workers are elsewhere, perhaps on other machines.
    pub fn is_remote(self) -> bool {
        match self {
            PlatformKind::InProcess | PlatformKind::Process => false,
            PlatformKind::Http => true,
            #[cfg(feature = "aws")]
            PlatformKind::Aws => true,
        }
    }
}

/// The ways from a worker process to the coordinator that a command line can name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LinkKind {
    /// The Unix socket by which it is given its work
    #[default]
    Socket,
    /// HTTP, as lambdas do
    Http,
}

/// Why there is nothing to run on.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Options that do not go together.
    #[error("{0}")]
    Conflict(&'static str),
    /// Calls cannot be served by HTTP.
    #[error("cannot serve calls by HTTP: {0}")]
    Http(io::Error),
    /// The function's secret is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The platform cannot be had.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The metrics cannot be served.
    #[error("cannot serve metrics at {address}: {cause}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The rest.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl RunOptions {
    /// A place to run things, as these options describe it.
    ///
    /// A temporary store is removed when the last clone of the result is gone, and also if this process is killed.
    ///
    /// # Errors
    /// If the options do not go together, or what they name is not there.
    pub async fn build(&self) -> Result<Kappa, OptionsError> {
        Ok(self.builder().await?.build().await?)
    }

    /// The same, to be described further.
    ///
    /// # Errors
    /// As [`RunOptions::build`].
    pub async fn builder(&self) -> Result<Builder, OptionsError> {
        self.check()?;
        let state = match &self.state {
            Some(place) => Some(State::open(place.clone()).await?),
            None => None,
        };
        let store = self.open_store(state.as_ref()).await?;
        let mut platform = self.open_platform(&store).await?;
        if let Some(spec) = self.chaos {
            platform = Arc::new(Chaos::new(platform, spec));
        }
        allow_many_files();
        let mut builder = Kappa::builder();
        if let Some(address) = self.metrics {
            let metrics = Metrics::default();
            let served = metrics.serve(address).await;
            let (address, _) = served.map_err(|cause| OptionsError::Metrics { address, cause })?;
            super::run::say(&format!("metrics at http://{address}/metrics"));
            builder = builder.observer(Arc::new(metrics));
        }
        builder = builder.platform(platform).store(store).time_limit(self.time_limit);
        builder = builder.durability(self.durability()).same_program(self.same_program);
        if !self.objects_below.is_empty() {
            builder = builder.objects_below(&self.objects_below);
        }
        if let Some(state) = state {
            builder = builder.opened_state(state);
        }
        Ok(builder)
    }

    /// The arguments that describe the same place for somebody who goes on with one of its runs from another folder. Chaos is over then, and so are metrics.
    pub fn to_arguments(&self) -> Vec<String> {
        let RunOptions {
            platform,
            workers,
            time_limit,
            memory_limit,
            function,
            link,
            listen,
            advertise,
            store,
            state,
            sync,
            objects_below,
            same_program: _,
            chaos: _,
            metrics: _,
        } = self;
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                arguments.extend([name.to_string(), value]);
            }
        };
        let absolute = |path: &Path| match is_folder(path) {
            true => std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
            false => path.to_path_buf(),
        };
        let platform = platform.to_possible_value().map(|value| value.get_name().to_string());
        add("--platform", platform);
        add("--workers", workers.map(|workers| workers.to_string()));
        add(
            "--time-limit",
            time_limit.map(|limit| format!("{}ms", limit.as_millis().max(1))),
        );
        add("--memory-limit", memory_limit.map(|limit| format!("{limit}B")));
        let link = link.to_possible_value().filter(|_| *link != LinkKind::default());
        add("--link", link.map(|value| value.get_name().to_string()));
        add("--function", function.clone());
        add("--listen", listen.map(|address| address.to_string()));
        add("--advertise", advertise.clone());
        let store = store.as_ref().map(|url| match url.split_once(':') {
            Some((scheme @ ("file" | "file+sync"), folder)) => {
                format!("{scheme}:{}", absolute(Path::new(folder)).display())
            }
            _ if address::is_url(url) => address::recorded(url),
            _ => url.clone(),
        });
        add("--store", store);
        let state = state.as_ref().map(|place| absolute(place).display().to_string());
        // These are written down: without passwords.
        add(
            "--state",
            state.map(|place| match address::is_url(&place) {
                true => address::recorded(&place),
                false => place,
            }),
        );
        for folder in objects_below {
            add("--objects-below", Some(absolute(folder).display().to_string()));
        }
        if *sync {
            arguments.push("--sync".to_string());
        }
        arguments
    }

    /// Whether the options go together.
    ///
    /// # Errors
    /// [`OptionsError::Conflict`] with the way out.
    pub fn check(&self) -> Result<(), OptionsError> {
        if self.memory_limit.is_some() && self.platform == PlatformKind::InProcess {
            return Err(OptionsError::Conflict(
                "--memory-limit needs --platform process: memory can only be limited for a process of its own",
            ));
        }
        if self.link == LinkKind::Http && self.platform != PlatformKind::Process {
            return Err(OptionsError::Conflict(
                "--link http needs --platform process: without worker processes there is nothing to choose",
            ));
        }
        if self.listen.is_some() && self.link != LinkKind::Http && !self.platform.is_remote() {
            return Err(OptionsError::Conflict(
                "--listen needs --link http, or a platform whose workers are elsewhere",
            ));
        }
        self.check_remote()?;
        if self.state.is_some() && self.store.as_deref() == Some("memory:") {
            return Err(OptionsError::Conflict(
                "--state needs a store that outlives this process: leave out --store, or use file:DIR, redis://HOST or s3://BUCKET/PREFIX",
            ));
        }
        if self.sync && self.state.as_ref().is_some_and(|state| !is_folder(state)) {
            return Err(OptionsError::Conflict(
                "--sync needs a state in a folder: when Redis servers write to their disks is theirs to say (appendfsync)",
            ));
        }
        if self.sync && self.store.as_ref().is_some_and(|store| store.starts_with("file:")) {
            return Err(OptionsError::Conflict(
                "--sync needs a store that waits for the disk, too: leave out --store, or use file+sync:DIR",
            ));
        }
        Ok(())
    }

    /// Whether the options for workers elsewhere are there where they are needed, and only there.
    fn check_remote(&self) -> Result<(), OptionsError> {
        let conflict = |message| Err(OptionsError::Conflict(message));
        if !self.platform.is_remote() {
            if self.function.is_some() {
                return conflict("--function needs --platform http or --platform aws");
            }
            if self.advertise.is_some() {
                return conflict(
                    "--advertise needs --platform http or --platform aws: other workers are on this machine",
                );
            }
            return Ok(());
        }
        let is_http = self.platform == PlatformKind::Http;
        match &self.function {
            None if is_http => {
                return conflict("--platform http needs --function URL: the address at which `PROGRAM serve` runs");
            }
            None => return conflict("--platform aws needs --function NAME: the one that `kappa deploy` made"),
            Some(url) if is_http && !url.starts_with("http://") && !url.starts_with("https://") => {
                return conflict("--function needs a URL, `http://..` or `https://..`, with --platform http");
            }
            Some(_) => {}
        }
        if self.advertise.as_ref().is_some_and(|url| !url.starts_with("http://")) {
            return conflict("--advertise needs a URL `http://HOST:PORT`, perhaps with the beginning of a path");
        }
        if self.advertise.is_some() && self.listen.is_none() {
            return conflict("--advertise needs --listen: the address that is reached by the URL");
        }
        if self.advertise.is_none() && self.listen.is_some_and(|address| address.ip().is_unspecified()) {
            return conflict(
                "--listen on all addresses needs --advertise URL: one of them, as workers elsewhere reach it",
            );
        }
        let place = self.store.clone().or_else(|| {
            let state = self.state.as_ref()?;
            let folder = is_folder(state).then(|| format!("file:{}", state.display()));
            Some(folder.unwrap_or_else(|| state.display().to_string()))
        });
        match place.as_deref().and_then(|url| url.split_once(':')) {
            Some(("file" | "file+sync", _)) if is_http => Ok(()),
            Some(("file" | "file+sync", _)) => conflict(
                "--platform aws needs a store that lambdas can reach: --store s3://BUCKET/PREFIX or redis://HOST",
            ),
            None | Some(("memory", _)) if is_http => conflict(
                "--platform http needs a store that its workers can reach: --store s3://BUCKET/PREFIX or redis://HOST, or file:DIR if they share                  the file system (as on the same machine)",
            ),
            None | Some(("memory", _)) => conflict(
                "--platform aws needs a store that lambdas can reach: --store s3://BUCKET/PREFIX or redis://HOST",
            ),
            Some(_) => Ok(()),
        }
    }

    fn durability(&self) -> Durability {
        match self.sync {
            true => Durability::Machine,
            false => Durability::Process,
        }
    }

    async fn open_store(&self, state: Option<&State>) -> Result<Arc<dyn Store>, OptionsError> {
        match (&self.store, state, self.platform) {
            (Some(url), _, _) => {
                // It may wait for servers, and who waits for this may have something else to do.
                let url = url.clone();
                let opened = tokio::task::spawn_blocking(move || crate::store::open(&url)).await;
                let opened = opened.map_err(|cause| BuildError::Threads(io::Error::other(cause)))?;
                Ok(opened?)
            }
            (None, Some(state), _) => Ok(state.store(self.durability())?),
            (None, None, PlatformKind::InProcess) => Ok(crate::store::open("memory:")?),
            // For other platforms `check` has asked for one.
            (None, None, _) => Ok(Arc::new(Temporary::new()?)),
        }
    }

    /// How workers elsewhere reach this process; `None` if they cannot. `is_near` says that they are on this machine.
    fn serve_calls(&self, is_near: bool) -> Result<Option<Arc<HttpServer>>, OptionsError> {
        if self.listen.is_none() && !is_near {
            return Ok(None);
        }
        let mut http = HttpOptions::default();
        http.listen = self.listen.unwrap_or(http.listen);
        http.advertise = self.advertise.clone();
        Ok(Some(Arc::new(HttpServer::start(http).map_err(OptionsError::Http)?)))
    }

    async fn open_platform(&self, store: &Arc<dyn Store>) -> Result<Arc<dyn Platform>, OptionsError> {
        let workers = self.workers.map(usize::from);
        match self.platform {
            PlatformKind::InProcess => {
                let mut options = InProcessOptions::default();
                options.workers = workers.unwrap_or(options.workers);
                let platform = InProcess::new(options, store.clone()).map_err(BuildError::Threads)?;
                Ok(Arc::new(match workers {
                    Some(workers) => platform.at_most(workers),
                    None => platform,
                }))
            }
            PlatformKind::Process => {
                let mut options = ProcessOptions {
                    memory_limit: self.memory_limit,
                    ..ProcessOptions::default()
                };
                options.workers = workers.unwrap_or(options.workers);
                if self.link == LinkKind::Http {
                    options.http = self.serve_calls(true)?;
                }
                Ok(Arc::new(Process::new(options, store)?))
            }
            PlatformKind::Http => {
                let url = self.function.clone().unwrap_or_default();
                let secret = FunctionSecret::from_environment()?;
                let mut options = HttpFunctionOptions::new(url, secret);
                options.workers = workers.unwrap_or(options.workers);
                options.memory_limit = self.memory_limit;
                options.http = self.serve_calls(http::is_near(&options.url))?;
                Ok(Arc::new(HttpFunction::new(options, store)?))
            }
            #[cfg(feature = "aws")]
            PlatformKind::Aws => {
                let mut options = AwsOptions::new(self.function.clone().unwrap_or_default());
                options.workers = workers.unwrap_or(options.workers);
                options.http = self.serve_calls(aws::is_on_this_machine().await)?;
                Ok(Arc::new(Aws::new(options, store).await?))
            }
        }
    }
}

/// As many open files as the system lets this process have: each worker elsewhere takes two connections, and a journal that cannot open a file ends its run.
fn allow_many_files() {
    if let Ok((usual, most)) = getrlimit(Resource::RLIMIT_NOFILE)
        && usual < most
        && let Err(cause) = setrlimit(Resource::RLIMIT_NOFILE, most, most)
    {
        tracing::debug!(%cause, usual, most, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: RunOptions,
    }

    fn parsed(words: &str) -> RunOptions {
        Line::parse_from(std::iter::once("program").chain(words.split_whitespace())).options
    }

    #[test]
    fn what_waits_for_the_disk_does_so_as_a_whole_and_is_told_to_whoever_resumes() {
        let good = parsed("--state /tmp/s --sync");
        assert!(good.check().is_ok());
        assert_eq!(good.durability(), Durability::Machine);
        assert_eq!(
            good.to_arguments(),
            ["--platform", "in-process", "--state", "/tmp/s", "--sync"]
        );
        assert!(parsed("--state /tmp/s --sync --store file+sync:/tmp/t").check().is_ok());
        for (words, way_out) in [
            ("--state redis://a --sync", "a state in a folder"),
            ("--state /tmp/s --sync --store file:/tmp/t", "file+sync:DIR"),
        ] {
            let said = parsed(words).check().unwrap_err().to_string();
            assert!(said.contains(way_out), "{words}: {said}");
        }
        assert!(
            Line::try_parse_from(["program", "--sync"]).is_err(),
            "there is no state"
        );
    }

    #[test]
    fn workers_elsewhere_need_a_function_and_a_store_that_they_can_reach() {
        for (words, way_out) in [
            ("--function x", "needs --platform http or --platform aws"),
            ("--platform process --advertise http://a:1", "needs --platform http or"),
            ("--platform http --store redis://a", "needs --function URL"),
            ("--platform http --function x --store redis://a", "`https://..`"),
            (
                "--platform http --function http://x",
                "--store s3://BUCKET/PREFIX or redis://HOST, or file:DIR",
            ),
            (
                "--platform http --function http://x --store memory:",
                "file:DIR if they share",
            ),
            (
                "--platform http --function http://x --store redis://a --advertise http://b",
                "needs --listen",
            ),
            (
                "--platform http --function http://x --store redis://a --listen 0.0.0.0:7",
                "needs --advertise",
            ),
            (
                "--platform http --function http://x --store redis://a --listen 0.0.0.0:7 --advertise b:7",
                "`http://HOST:PORT`",
            ),
            (
                "--platform http --function http://x --store redis://a --link http",
                "needs --platform process",
            ),
        ] {
            let message = parsed(words).check().unwrap_err().to_string();
            assert!(message.contains(way_out), "{words}: {message}");
        }
        for words in [
            "--platform http --function https://x/f --store s3://bucket/prefix",
            "--platform http --function https://x/f --state redis://a,b",
            "--platform http --function http://x --state folder",
            "--platform http --function http://x --store file:a --listen 0.0.0.0:7 --advertise http://b:7",
            "--platform http --function http://x --store file:a --listen 10.0.0.7:7 --memory-limit 1GB",
        ] {
            assert!(parsed(words).check().is_ok(), "{words}");
        }
    }

    #[cfg(feature = "aws")]
    #[test]
    fn lambdas_do_not_share_this_machine_s_files() {
        for (words, way_out) in [
            ("--platform aws --store s3://b/p", "needs --function NAME"),
            ("--platform aws --function f", "--store s3://BUCKET/PREFIX"),
            (
                "--platform aws --function f --store file:a",
                "--store s3://BUCKET/PREFIX",
            ),
            (
                "--platform aws --function f --state folder",
                "--store s3://BUCKET/PREFIX",
            ),
        ] {
            let message = parsed(words).check().unwrap_err().to_string();
            assert!(message.contains(way_out), "{words}: {message}");
        }
        assert!(
            parsed("--platform aws --function f --store s3://b/p --state folder")
                .check()
                .is_ok()
        );
    }

    #[test]
    fn the_arguments_of_a_run_elsewhere_describe_it_again() {
        let words = "--platform http --function https://x/f --store redis://a --listen 0.0.0.0:7 --advertise http://b:7 --workers 9";
        let again = parsed(&parsed(words).to_arguments().join(" "));
        assert_eq!(again.to_arguments(), parsed(words).to_arguments());
        assert_eq!(again.function.as_deref(), Some("https://x/f"));
        assert_eq!(again.advertise.as_deref(), Some("http://b:7"));
    }

    #[test]
    fn passwords_of_servers_are_not_written_down() {
        let words = "--state redis://:secret@a,b?missing=lost --store redis://me:secret@c/2?password-file=/p";
        let arguments = parsed(words).to_arguments();
        assert_eq!(
            arguments[2..],
            ["--store", "redis://me@c/2?password-file=/p", "--state", "redis://a,b"]
        );
    }

    #[test]
    fn passwords_of_servers_are_not_shown() {
        let shown = shown_place("redis://:secret@a,b");
        assert_eq!(shown, "redis://***@a,b");
        assert_eq!(shown_place("some/folder@home"), "some/folder@home");
        assert!(names_servers("redis://a") && !names_servers("redis"));
    }
}
