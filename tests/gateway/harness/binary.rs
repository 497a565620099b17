//! The real binary in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use super::eventually;
use super::gateway::Setup;
use super::http::Request;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_gatewayz");

/// A program with these arguments and nothing in its environment but what is given.
fn command(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command said before it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut process = Process::start(arguments, environment);
    let code = process.wait().code();
    Ended { code, out: process.out.text(), err: process.err.text() }
}

/// A process under way, killed when its test ends.
pub struct Process {
    child: Child,
    pub err: Lines,
    pub out: Lines,
}

impl Process {
    /// `gatewayz serve` with this configuration, once it listens.
    pub fn serve(setup: &Setup, arguments: &[&str], more: &[(&str, &str)]) -> (Process, SocketAddr) {
        let file = setup.file();
        let mut all = vec!["serve", "--config"];
        let path = file.text();
        all.push(&path);
        all.extend(arguments);
        let mut environment: Vec<(&str, &str)> =
            setup.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        environment.extend(more);
        let process = Process::start(&all, &environment);
        let address = process.address();
        (process, address)
    }

    /// Waits until it says where it listens.
    pub fn address(&self) -> SocketAddr {
        let line = self.err.wait_for("listens on http://");
        // The text ends there, or a closing quote of JSON follows.
        let address = line.split("listens on http://").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        address.trim().parse().unwrap_or_else(|_| panic!("{address:?} is no address"))
    }

    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        Process::of(BINARY, arguments, environment)
    }

    /// Another program that becomes the binary.
    pub fn of(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut child = command(program, arguments, environment).spawn().unwrap();
        let err = collect(child.stderr.take().unwrap());
        let out = collect(child.stdout.take().unwrap());
        Process { child, err, out }
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end of the process and of everything that it said.
    pub fn wait(&mut self) -> ExitStatus {
        let status = eventually("the end of the process", || self.child.try_wait().unwrap());
        eventually("the end of its output", || (self.err.has_ended() && self.out.has_ended()).then_some(()));
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process writes, line by line.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<(Vec<String>, bool)>>);

impl Lines {
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().0.clone()
    }

    pub fn text(&self) -> String {
        self.all().join("\n")
    }

    /// Waits for a line with these words.
    pub fn wait_for(&self, words: &str) -> String {
        let found = || self.all().into_iter().find(|line| line.contains(words));
        eventually(&format!("{words:?}"), || {
            let line = found();
            assert!(line.is_some() || !self.has_ended(), "ended without {words:?}: {}", self.text());
            line
        })
    }

    fn has_ended(&self) -> bool {
        self.0.lock().unwrap().1
    }
}

fn collect(from: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let kept = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            kept.0.lock().unwrap().0.push(line);
        }
        kept.0.lock().unwrap().1 = true;
    });
    lines
}

/// A request to a process.
pub fn request(address: SocketAddr, method: &str, path: &str) -> Request {
    Request::new(address, method, path).header("x-api-key", super::CLIENT_KEY)
}
