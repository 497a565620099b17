//! Processes under measurement: what they cost, and on which core they run. Reads `/proc`.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The cores of a measurement, where there are two and `taskset` is to be had.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    /// How many the machine has.
    pub count: usize,
    pinned: bool,
}

impl Cores {
    /// Moves this process to the second core; the first is for the contenders.
    pub fn divide() -> Cores {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let own = std::process::id().to_string();
        let moved = || Command::new("taskset").args(["-acp", "1", &own]).stdout(Stdio::null()).status();
        Cores { count, pinned: count > 1 && moved().is_ok_and(|status| status.success()) }
    }

    pub fn describe(self) -> &'static str {
        match self.pinned {
            true => "the contender alone on core 0; load and provider together on core 1",
            false => "contender, load and provider share all cores (no second core, or no taskset)",
        }
    }

    /// A command that runs on the contenders' core.
    pub fn command(self, program: &str) -> Command {
        if !self.pinned {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["-c", "0", program]);
        command
    }
}

/// A process with whatever it has started, killed when dropped.
pub struct Process {
    child: Child,
    /// Where it writes what it has to say.
    log: PathBuf,
}

impl Process {
    /// Starts it; all that it says goes to a file.
    pub fn start(mut command: Command, log: PathBuf) -> std::io::Result<Process> {
        let file = fs::File::options().create(true).append(true).open(&log)?;
        file.set_len(0)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Process { child, log })
    }

    /// What it said.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Forgets what it said: a line for each request is much.
    pub fn forget(&self) {
        // It is written on in append mode; at worst the file stays long.
        let _ = fs::File::options().write(true).open(&self.log).and_then(|file| file.set_len(0));
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time that its threads have used, to the nanosecond; those that have ended are left out.
    pub fn cpu(&self) -> Duration {
        let used = self.family().into_iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task"))).flatten();
        let nanoseconds = used.flatten().filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Bytes in memory now.
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most bytes in memory since [`Process::forget_peak`].
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    pub fn forget_peak(&self) {
        for pid in self.family() {
            // A kernel that does not allow it leaves the peak since the start.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    fn status(&self, field: &str) -> u64 {
        let kilobytes = self.family().into_iter().filter_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(field))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        kilobytes.sum::<u64>() * 1024
    }

    /// The process and its descendants.
    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = family.get(at).copied() {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            at += 1;
        }
        family
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for pid in self.family().into_iter().skip(1) {
            // It may have ended by itself.
            let _ = Command::new("kill").arg(pid.to_string()).stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
