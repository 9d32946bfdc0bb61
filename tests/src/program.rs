//! A program run as a process: its arguments, its output as it comes, its end, each wait with a limit.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::counters::{counter, memory, processor_time};
use crate::kubo;
use crate::lan::Host;
use crate::mount::Mount;
use crate::transcript::{Transcript, Wait};

/// One of the programs under test.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// `cidra-bootstrap`
    Bootstrap,
    /// `cidra`
    Cidra,
    /// `ipfs`, where there is one: see [`crate::Kubo`].
    Kubo,
}

impl Program {
    /// Where it stands: ours beside this executable, or beside the folder `deps` that holds it. Panics when it is not built.
    pub fn path(self) -> PathBuf {
        let name = match self {
            Program::Bootstrap => "cidra-bootstrap",
            Program::Cidra => "cidra",
            Program::Kubo => return kubo::program().unwrap_or_else(|reason| panic!("{reason}")),
        };
        let executable = env::current_exe().expect("a test knows its own executable");
        let mut folder = executable.parent().expect("an executable stands in a folder");
        if folder.ends_with("deps") {
            folder = folder.parent().expect("deps stands in the profile's folder");
        }
        let path = folder.join(name);
        assert!(path.is_file(), "{} is not built: `cargo test --workspace` or `cargo build` builds it", path.display());
        path
    }
}

/// A program and its arguments, not yet started.
pub struct Call {
    command: Command,
    limit: Duration,
    input: Option<Vec<u8>>,
    shown: String,
}

impl Call {
    /// A call with no arguments, which meets nobody unless it is told. Settings of the person who runs the tests do not reach it.
    pub fn new(program: Program) -> Call {
        let path = program.path();
        let mut command = Command::new(&path);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CIDRA_")) {
            command.env_remove(name);
        }
        // Whatever a test forgets to say, nobody beyond this machine is met.
        command.env("CIDRA_BOOTSTRAP", "none");
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = path.file_name().expect("made from a name").to_string_lossy().into_owned();
        Call { command, limit: LIMIT, input: None, shown }
    }

    /// What a person's shell does with `line`, in which the programs are found by their names.
    pub fn shell(line: &str) -> Call {
        let programs = Program::Cidra.path();
        let programs = programs.parent().expect("a program stands in a folder");
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([programs.to_owned()].into_iter().chain(env::split_paths(&path)));
        let mut call = Call::new(Program::Cidra).env("PATH", path.expect("it came from such a list"));
        call.command = rebuilt(&call.command, "sh".as_ref(), &[]);
        call.shown = "sh".to_owned();
        call.arg("-c").arg(line)
    }

    /// This test executable, of which it runs one test that is ignored otherwise: a part of a test in a process of its own.
    pub fn test(name: &str) -> Call {
        let mut call = Call::new(Program::Cidra);
        let executable = env::current_exe().expect("a test knows its own executable");
        call.command = rebuilt(&call.command, executable.as_ref(), &[]);
        call.shown = "a test".to_owned();
        call.args([name, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
    }

    /// Has it run on a host of a network.
    pub fn on(mut self, host: &Host) -> Call {
        let [program, arguments @ ..] = host.prefix();
        let mut before: Vec<&OsStr> = arguments.iter().map(|argument| argument.as_ref()).collect();
        before.push(self.command.get_program());
        self.command = rebuilt(&self.command, program.as_ref(), &before);
        self
    }

    /// Has it run where a file system is mounted, in the folder `/`.
    pub fn within(mut self, mount: &Mount) -> Call {
        let [program, namespace] = mount.prefix();
        let own = self.command.get_program().to_owned();
        self.command = rebuilt(&self.command, program.as_ref(), &[namespace.as_ref(), &own]);
        self
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Call {
        self.shown += &format!(" {}", argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Call {
        arguments.into_iter().fold(self, Call::arg)
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.command.env(name, value);
        self
    }

    /// Sets the folder it runs in.
    pub fn current_dir(mut self, folder: &Path) -> Call {
        self.command.current_dir(folder);
        self
    }

    /// Gives it bytes on standard input.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Call {
        self.command.stdin(Stdio::piped());
        self.input = Some(bytes.into());
        self
    }

    /// Leaves standard input open: `Running::stdin` writes to it.
    pub fn open_input(mut self) -> Call {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Sends standard output to a file instead of memory.
    pub fn output_to(mut self, path: &Path) -> Call {
        self.command.stdout(File::create(path).expect("the test's own folder"));
        self
    }

    /// How long it may take in all; `LIMIT` unless told.
    pub fn limit(mut self, limit: Duration) -> Call {
        self.limit = limit;
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let started = Instant::now();
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.shown));
        let mut stdin = child.stdin.take();
        if let Some(input) = self.input.take() {
            let mut pipe = stdin.take().expect("piped by `input`");
            // A program that ends before it has read all its input is judged by its exit code.
            thread::spawn(move || {
                let _ = pipe.write_all(&input);
            });
        }
        let stdout = child.stdout.take().map(Transcript::follow);
        let stderr = Transcript::follow(child.stderr.take().expect("piped in `new`"));
        Running { child, stdin, stdout, stderr, started, limit: self.limit, shown: self.shown, peak: 0 }
    }

    /// Runs it to its end.
    pub fn run(self) -> Finished {
        self.start().finish()
    }
}

/// The command with another program, and arguments before its own.
fn rebuilt(command: &Command, program: &OsStr, before: &[&OsStr]) -> Command {
    let mut rebuilt = Command::new(program);
    rebuilt.args(before).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => rebuilt.env(name, value),
            None => rebuilt.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        rebuilt.current_dir(folder);
    }
    rebuilt.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    rebuilt
}

/// How long a call may take unless it says otherwise: no test waits for a person, and a loaded machine is slow.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A program that runs. Dropped, it is killed with -9.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<Transcript>,
    stderr: Transcript,
    started: Instant,
    limit: Duration,
    shown: String,
    peak: u64,
}

impl Running {
    /// Its standard input, where the call left it open; dropping what is returned closes it.
    pub fn stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("asked for by `open_input`, once")
    }

    /// Waits until standard output holds a line that `wanted` accepts; all whole lines so far. Panics when the program
    /// ends first, or at the limit.
    pub fn wait_for_line(&mut self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let stdout = self.stdout.as_ref().expect("standard output goes to a file");
        match stdout.wait(Instant::now() + limit, |bytes| lines(bytes).iter().any(|line| wanted(line))) {
            Wait::Met => self.lines(),
            Wait::Ended => panic!("{} ended: {}", self.shown, self.said()),
            Wait::Late => panic!("{} did not print what was waited for within {limit:?}: {}", self.shown, self.said()),
        }
    }

    /// Waits until standard output has this many whole lines, or ends. Panics at the limit.
    pub fn wait_for_lines(&mut self, limit: Duration, count: usize) {
        let stdout = self.stdout.as_ref().expect("standard output goes to a file");
        let wait = stdout.wait(Instant::now() + limit, |bytes| lines(bytes).len() >= count);
        assert!(!matches!(wait, Wait::Late), "{} did not print {count} lines within {limit:?}", self.shown);
    }

    /// Waits for `limit` or for the end of the program, whichever is first; true at the end.
    pub fn wait_for_end(&self, limit: Duration) -> bool {
        self.stderr.wait_end(Instant::now() + limit)
    }

    /// The whole lines on standard output so far.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.as_ref().map(|stdout| lines(&stdout.bytes())).unwrap_or_default()
    }

    /// What it holds in memory at this moment.
    pub fn memory(&self) -> Memory {
        let field =
            |name| memory(self.child.id(), name).unwrap_or_else(|| panic!("{} ended: {}", self.shown, self.said()));
        Memory { resident: field("VmRSS:"), own: field("RssAnon:") }
    }

    /// Time of processors that it took so far.
    pub fn processor_time(&self) -> Duration {
        processor_time(self.child.id()).expect("it runs")
    }

    /// The most it held in memory so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        memory(self.child.id(), "VmHWM:").unwrap_or(self.peak)
    }

    /// Sends it SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Kills it with -9 and gives what it had said.
    pub fn kill(self) -> Finished {
        self.signal(Signal::KILL);
        self.finish()
    }

    /// Waits for its end. Panics past the call's limit.
    pub fn finish(mut self) -> Finished {
        self.stdin = None;
        let deadline = self.started + self.limit;
        loop {
            self.peak = memory(self.child.id(), "VmHWM:").unwrap_or(self.peak);
            let slice = deadline.min(Instant::now() + SAMPLE);
            if self.stderr.wait_end(slice) && self.stdout.as_ref().is_none_or(|stdout| stdout.wait_end(slice)) {
                break;
            }
            assert!(Instant::now() < deadline, "{} took longer than {:?}: {}", self.shown, self.limit, self.said());
        }
        // It has ended and was not waited for: its counters are still there.
        let written = counter(self.child.id(), "io", "wchar:").unwrap_or_default();
        let processor_time = processor_time(self.child.id()).unwrap_or_default();
        let status = self.child.wait().expect("our own child");
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.as_ref().map(Transcript::bytes).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&self.stderr.bytes()).into_owned(),
            elapsed: self.started.elapsed(),
            peak_memory: self.peak,
            written,
            processor_time,
            shown: self.shown.clone(),
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a child's id is not 0");
        // Fails only when it has ended, which `finish` tells.
        let _ = kill_process(pid, signal);
    }

    fn said(&self) -> String {
        let stdout = self.stdout.as_ref().map(Transcript::bytes).unwrap_or_default();
        format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&self.stderr.bytes()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often the peak of a running program is read; the kernel keeps the peak, so only the last slice can be missed.
const SAMPLE: Duration = Duration::from_millis(5);

/// What a program holds in memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All of it; the pages of its own file are among it, which the system can drop and share.
    pub resident: u64,
    /// What it allocated.
    pub own: u64,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output, unless it went to a file.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub elapsed: Duration,
    /// The most it held in memory, in bytes, but for its last milliseconds.
    pub peak_memory: u64,
    /// Bytes that it wrote to files and pipes; what went to sockets is not among them.
    pub written: u64,
    /// Time of processors that it took.
    pub processor_time: Duration,
    shown: String,
}

impl Finished {
    /// Panics unless it ended with exit code 0.
    pub fn success(self) -> Finished {
        self.exits(0)
    }

    /// Panics unless it ended with this exit code.
    pub fn exits(self, code: i32) -> Finished {
        let said = String::from_utf8_lossy(&self.stdout[..self.stdout.len().min(4096)]);
        assert!(
            self.code == Some(code),
            "{}: exit {:?}, signal {:?} instead of exit {code}\n{said}\n{}",
            self.shown,
            self.code,
            self.signal,
            self.stderr
        );
        self
    }

    /// Standard output as text without the last line break.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("this command prints text").trim_end()
    }

    /// Standard output in lines.
    pub fn lines(&self) -> Vec<&str> {
        self.text().lines().collect()
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned).collect()
}
