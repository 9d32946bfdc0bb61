//! The command line: what people type becomes calls of the RPC, and its answers become lines.
//!
//! Every command speaks to a node through one `Client`, whether the node runs in this process, holds the repository in another
//! one or is elsewhere. Results go to standard output, all else to standard error; how it ended is the exit code.

mod add;
mod answer;
mod arguments;
mod block;
mod bootstrap;
mod call;
mod cat;
mod client;
mod completion;
mod config;
mod content_argument;
mod daemon;
mod dag;
mod endpoint;
mod failure;
mod files;
mod get;
mod health;
mod id;
mod key;
mod ls;
mod name;
mod network;
mod output;
mod pin;
mod ping;
mod progress;
mod refs;
mod repo;
mod resolve;
mod routing;
mod send;
mod session;
mod shutdown;
mod signals;
mod standard_input;
mod stats;
mod swarm;
mod units;
mod version;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use arguments::{Arguments, Command, Global, variable};
use failure::{Exit, Failure, Outcome};
use output::{Form, Output};
use session::{Carried, Need, Session};
use signals::Signals;
use standard_input::StandardInput;

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let Err(failure) = start(Arguments::from_process()) else { return ExitCode::SUCCESS };
    if failure.exit() != Exit::ClosedPipe {
        warn(failure.message());
    }
    ExitCode::from(failure.exit().code())
}

/// All commands as they are typed, such as `pin add`, for whoever has to try each of them.
pub fn commands() -> Vec<String> {
    fn collect(command: &clap::Command, path: &str, all: &mut Vec<String>) {
        for below in command.get_subcommands() {
            let path = format!("{path}{}", below.get_name());
            if !below.is_subcommand_required_set() {
                all.push(path.clone());
            }
            collect(below, &format!("{path} "), all);
        }
    }
    let mut all = vec![];
    collect(&arguments::command(), "", &mut all);
    all
}

/// Tells a person something on standard error.
fn warn(message: &str) {
    // Where nobody can read it there is nothing left to do.
    let _ = writeln!(io::stderr(), "cidra: {message}");
}

fn start(arguments: Arguments) -> Outcome {
    let Arguments { global, command } = arguments;
    let mut output = Output::stdout(if global.json { Form::Json } else { Form::Text });
    match &command {
        Command::Version(arguments) => return version::run(arguments, &mut output),
        Command::Completion(arguments) => return completion::run(arguments, &mut output),
        Command::Network(arguments) => return network::run(arguments, &mut output),
        Command::Repo(arguments) if arguments.needs_no_node() && global.api()?.is_none() => {
            return repo::print_path(&global.repository()?.to_string_lossy(), &mut output);
        }
        Command::Cat(_) => cat::check(&output)?,
        Command::Block(arguments) => block::check(arguments, &output)?,
        Command::Dag(arguments) => dag::check(arguments, &output)?,
        Command::Files(arguments) => files::check(arguments, &output)?,
        _ => {}
    }
    start_log(&command, &global)?;
    let runtime = Builder::new_multi_thread().worker_threads(workers(&command)).enable_all().build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Daemon(arguments) => daemon::run(arguments, global, output).await,
            command => run(command, global, output).await,
        }
    });
    // A read of standard input that still waits would wait for ever.
    runtime.shutdown_timeout(LEFTOVERS);
    outcome
}

/// Threads for tasks. A task that wakes another on a second thread costs more than the two gain, unless there are many of them:
/// hashing, disk and this command have threads of their own.
fn workers(command: &Command) -> usize {
    match command {
        Command::Daemon(_) => std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2)),
        _ => 1,
    }
}

/// What is still at work when a command has ended is not worth more time.
const LEFTOVERS: Duration = Duration::from_millis(100);

/// Runs a command with whoever can do its work. When that one goes away in the middle the command begins anew with another,
/// or does the work itself, and what it has printed is not printed twice.
async fn run(command: Command, global: Global, output: Output) -> Outcome {
    let is_endless = command.is_endless();
    let result = run_to_end(command, global, output).await;
    // Who ends it has what he wanted.
    match result {
        Err(failure) if is_endless && failure.exit() == Exit::Interrupted => Ok(()),
        result => result,
    }
}

async fn run_to_end(command: Command, global: Global, output: Output) -> Outcome {
    let mut signals = Signals::new()?;
    let deadline = Deadline::of(&command, &global);
    let interrupted = || Failure::interrupted(command.goes_on());
    let mut carried = Carried { output, input: StandardInput::default() };
    for attempt in 1.. {
        let opening = Session::open(global.clone(), carried, command.need());
        let mut session = tokio::select! {
            session = opening => session?,
            () = signals.next() => return Err(interrupted()),
            failure = deadline.passed() => return Err(failure),
        };
        let outcome = tokio::select! {
            outcome = dispatch(command.clone(), &mut session) => outcome,
            () = signals.next() => Err(interrupted()),
            failure = deadline.passed() => Err(failure),
        };
        match outcome {
            Err(failure) if failure.is_loss() && session.is_guest() && attempt < ATTEMPTS => {
                tracing::info!(why = failure.message(), "the command begins anew");
                carried = session.leave();
            }
            outcome => return end(outcome, session, &mut signals).await,
        }
    }
    unreachable!("the last attempt returns")
}

/// So often may whoever does the work go away.
const ATTEMPTS: usize = 5;

async fn end(outcome: Outcome, session: Session, signals: &mut Signals) -> Outcome {
    if matches!(&outcome, Err(failure) if failure.exit() == Exit::Interrupted) {
        // That it was interrupted is what counts, whatever its end says.
        let _ = session.abandon(signals.next()).await;
        return outcome;
    }
    let closed = tokio::select! {
        closed = session.close() => closed,
        () = signals.next() => Err(Failure::interrupted(false)),
    };
    outcome.and(closed)
}

async fn dispatch(command: Command, session: &mut Session) -> Outcome {
    match command {
        Command::Add(arguments) => add::run(arguments, session).await,
        Command::Block(arguments) => block::run(arguments, session).await,
        Command::Bootstrap(arguments) => bootstrap::run(arguments, session).await,
        Command::Cat(arguments) => cat::run(arguments, session).await,
        Command::Config(arguments) => config::run(arguments, session).await,
        Command::Dag(arguments) => dag::run(arguments, session).await,
        Command::Files(arguments) => files::run(arguments, session).await,
        Command::Get(arguments) => get::run(arguments, session).await,
        Command::Health(_) => health::run(session).await,
        Command::Id(arguments) => id::run(arguments, session).await,
        Command::Key(arguments) => key::run(arguments, session).await,
        Command::Ls(arguments) => ls::run(arguments, session).await,
        Command::Name(arguments) => name::run(arguments, session).await,
        Command::Pin(arguments) => pin::run(arguments, session).await,
        Command::Ping(arguments) => ping::run(arguments, session).await,
        Command::Refs(arguments) => refs::run(arguments, session).await,
        Command::Repo(arguments) => repo::run(arguments, session).await,
        Command::Resolve(arguments) => resolve::run(arguments, session).await,
        Command::Routing(arguments) => routing::run(arguments, session).await,
        Command::Send(arguments) => send::run(arguments, session).await,
        Command::Shutdown(_) => shutdown::run(session).await,
        Command::Stats(arguments) => stats::run(arguments, session).await,
        Command::Swarm(arguments) => swarm::run(arguments, session).await,
        Command::Completion(_) | Command::Daemon(_) | Command::Network(_) | Command::Version(_) => {
            unreachable!("they need no session")
        }
    }
}

impl Command {
    fn need(&self) -> Need {
        match self {
            Self::Health(_) | Self::Shutdown(_) | Self::Stats(_) | Self::Swarm(_) => Need::Daemon,
            Self::Send(_) => Need::Sender,
            _ => Need::Node,
        }
    }

    /// Whether it goes on until somebody ends it.
    fn is_endless(&self) -> bool {
        matches!(self, Self::Send(_))
    }

    /// Whether, called again, it goes on where it was stopped.
    fn goes_on(&self) -> bool {
        matches!(self, Self::Get(_))
    }

    /// Whether it ends for want of somebody who delivers.
    fn fetches(&self) -> bool {
        matches!(
            self,
            Self::Block(_)
                | Self::Cat(_)
                | Self::Dag(_)
                | Self::Files(_)
                | Self::Get(_)
                | Self::Ls(_)
                | Self::Name(_)
                | Self::Pin(_)
                | Self::Refs(_)
                | Self::Resolve(_)
        )
    }
}

/// When the whole command has to be over.
struct Deadline {
    begun: Instant,
    timeout: Option<Duration>,
    grace: Duration,
    exit: Exit,
}

impl Deadline {
    fn of(command: &Command, global: &Global) -> Self {
        let (grace, exit) =
            if command.fetches() { (REPORT_GRACE, Exit::NotFound) } else { (Duration::ZERO, Exit::Failed) };
        Self { begun: Instant::now(), timeout: global.timeout, grace, exit }
    }

    async fn passed(&self) -> Failure {
        let Some(timeout) = self.timeout else { return std::future::pending().await };
        tokio::time::sleep_until(self.begun + timeout + self.grace).await;
        let limit = units::show_duration(timeout);
        Failure::new(self.exit, format!("not done within {limit}: give it longer with --timeout"))
    }
}

/// The node was told the limit and says, when it has passed, what each peer answered.
const REPORT_GRACE: Duration = Duration::from_secs(2);

fn start_log(command: &Command, global: &Global) -> Outcome {
    let default = match (global.verbose, command) {
        (0, Command::Daemon(_)) | (1, _) => "warn,cidra_node=info,libp2p_kad=error",
        (0, _) => "error",
        _ => "debug",
    };
    let directives = variable("CIDRA_LOG").unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&directives)
        .map_err(|error| Failure::usage(format!("CIDRA_LOG: {directives:?} is no filter: {error}")))?;
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    let log = log.with_filter_reloading();
    let handle = log.reload_handle();
    crate::node::log_is_changed_by(move |directives| {
        let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    });
    log.init();
    Ok(())
}
