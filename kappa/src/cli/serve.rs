//! `PROGRAM serve`: a program as a function behind an HTTP endpoint.

use super::parse;
use super::run::{End, Signals, end, program, say};
use crate::platform::http::{FunctionSecret, FunctionServer, SECRET_VARIABLE, ServerOptions};
use clap::{Args, Parser};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where nothing says where to listen: this machine alone.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The variables in which providers say on which port they expect a program: Cloud Run and Knative, and Azure Functions.
const PORT_VARIABLES: [&str; 2] = ["PORT", "FUNCTIONS_CUSTOMHANDLER_PORT"];

#[derive(Args)]
pub(super) struct Serve {
    /// Address to listen on [default: all addresses with the port of $PORT or $FUNCTIONS_CUSTOMHANDLER_PORT, as providers set them, or else
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Most invocations at once, each in a process of its own [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,

    /// How much memory each of them may use, for example `512MB` [default: without limit]
    #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
    memory_limit: Option<u64>,
}

/// What is said at the end of the help.
pub(super) const HELP: &str = "The environment variable KAPPA_FUNCTION_SECRET holds what whoever gives work must know: the same for `serve` and for \
     `run --platform http --function URL`.\n\nExamples:\n  export KAPPA_FUNCTION_SECRET=$(openssl rand -hex 32)\n  PROGRAM serve --listen 127.0.0.1:8080 &\n  \
     PROGRAM run --platform http --function http://127.0.0.1:8080 --store file:/var/tmp/objects\n\n\
     GET /health says whether it takes work. SIGTERM lets it finish what it has begun, for 8 seconds.";

/// Serves as a function behind an HTTP endpoint, and never returns, if the first argument is `serve`; otherwise does nothing.
///
/// For programs with a command line of their own, after [`serve_if_worker`](crate::serve_if_worker): `PROGRAM serve --help` tells the rest.
/// [`kappa::main`](crate::main) does it itself.
pub fn serve_if_asked() {
    if std::env::args_os().nth(1).is_none_or(|first| first != "serve") {
        return;
    }
    /// Carry out the work of runs with `--platform http`
    #[derive(Parser)]
    #[command(after_help = HELP)]
    struct CommandLine {
        #[command(flatten)]
        serve: Serve,
    }
    let name = format!("{} serve", program());
    let arguments = std::iter::once(name.into()).chain(std::env::args_os().skip(2));
    let serve = CommandLine::parse_from(arguments).serve;
    // On a thread of its own, because `main` may be inside a runtime already (`#[tokio::main]`).
    let served = match std::thread::Builder::new().spawn(move || serve.answer()) {
        Ok(serving) => serving.join().unwrap_or_else(|_| Err(End::failed("it panicked"))),
        Err(cause) => Err(End::failed(format!("cannot start a thread: {cause}"))),
    };
    let is_well = end(served) == std::process::ExitCode::SUCCESS;
    std::process::exit(i32::from(!is_well));
}

impl Serve {
    pub(super) fn answer(self) -> Result<(), End> {
        let secret = FunctionSecret::from_environment().map_err(End::usage)?;
        let listen = match self.listen {
            Some(listen) => listen,
            None => usual_address().map_err(End::usage)?,
        };
        let mut options = ServerOptions::new(listen, secret);
        options.workers = self.workers.map_or(options.workers, usize::from);
        options.memory_limit = self.memory_limit;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|cause| End::failed(format!("cannot start threads: {cause}")))?;
        runtime.block_on(async {
            let cannot = |cause| End::failed(format!("cannot wait for signals: {cause}"));
            let mut signals = Signals::catch().map_err(cannot)?;
            let mut hurry = Signals::catch().map_err(cannot)?;
            let server = FunctionServer::start(options).await.map_err(End::failed)?;
            let address = server.address().map_err(End::failed)?;
            say(&format!(
                "serving at http://{address}, for those who know {SECRET_VARIABLE}"
            ));
            let end = async {
                signals.next().await;
                say("no further work is taken; what has begun may end");
            };
            let second = async {
                hurry.next().await;
                hurry.next().await
            };
            tokio::select! {
                () = server.serve(end) => Ok(()),
                // Somebody is in a hurry: the kernel ends the workers.
                code = second => std::process::exit(code.into()),
            }
        })
    }
}

fn usual_address() -> Result<SocketAddr, String> {
    let named = PORT_VARIABLES
        .iter()
        .find_map(|name| Some((name, std::env::var(name).ok()?)));
    match named {
        None => Ok(USUAL_ADDRESS),
        Some((name, port)) => match port.parse() {
            Ok(port) => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            Err(_) => Err(format!("the variable {name} is no port: {port:?}")),
        },
    }
}
