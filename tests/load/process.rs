//! The real gateway in a process of its own, watched from outside.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::exposition::Exposition;
use crate::harness::gateway::Setup;
use crate::harness::http::Request;
use crate::harness::scratch::Scratch;
use crate::harness::{METRICS_TOKEN, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_gatewayz");

/// A running gateway, killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    /// Its configuration, which it reads once.
    _file: Scratch,
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

impl Process {
    /// Starts a gateway with this configuration on this port, and waits until it is ready.
    pub fn start(setup: &Setup, port: u16) -> Process {
        let file = setup.file();
        let mut command = Command::new(BINARY);
        command.args(["serve", "--config", &file.text()]);
        Process::start_command(command, setup, file, port, "error")
    }

    /// The same, with no more open files than this; it logs warnings too.
    pub fn start_with_files(setup: &Setup, port: u16, files: usize) -> Process {
        let file = setup.file();
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, BINARY, "serve", "--config", &file.text()]);
        Process::start_command(command, setup, file, port, "warn")
    }

    fn start_command(mut command: Command, setup: &Setup, file: Scratch, port: u16, log: &str) -> Process {
        command.env_clear().envs(setup.environment()).env("PORT", port.to_string()).env("RUST_LOG", log);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let said = Arc::new(Mutex::new(Vec::new()));
        let (kept, err) = (said.clone(), child.stderr.take().expect("its log"));
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut process = Process { child, address, said, _file: file };
        eventually("the start of the gateway", || {
            assert!(process.ended().is_none(), "it ended: {}", process.said().join("\n"));
            std::net::TcpStream::connect(address).ok()
        });
        process
    }

    /// What it has logged.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Memory in use, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }

    /// Files and sockets that it has open.
    pub fn open_files(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, |entries| entries.count() as u64)
    }

    /// Seconds of processor time that it has used.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: u64 = after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        // Linux counts them in hundredths for all programs.
        ticks as f64 / 100.0
    }

    pub fn metrics(&self) -> Exposition {
        let bearer = format!("Bearer {METRICS_TOKEN}");
        let reply = Request::new(self.address, "GET", "/metrics").header("authorization", &bearer).ask();
        Exposition::read(&reply.text())
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the process is there");
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits for its end without keeping the thread from other work.
    pub async fn end(&mut self) -> ExitStatus {
        loop {
            match self.ended() {
                Some(status) => return status,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
