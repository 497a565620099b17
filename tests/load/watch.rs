//! The memory and the open files of a process, second by second.

use super::process::Process;

/// What has been seen. The beginning, in which pools and caches fill, counts for nothing.
#[derive(Debug, Default)]
pub struct Watch {
    memory: Vec<u64>,
    files: Vec<u64>,
}

impl Watch {
    /// To be called each second.
    pub fn look(&mut self, process: &Process) {
        self.memory.push(process.memory());
        self.files.push(process.open_files());
    }

    /// The medians of both halves without the first `warm_up` seconds: of memory in KiB, and of open files.
    pub fn halves(&self, warm_up: usize) -> [(u64, u64); 2] {
        [halves(&self.memory, warm_up), halves(&self.files, warm_up)]
    }
}

fn halves(samples: &[u64], warm_up: usize) -> (u64, u64) {
    let samples = &samples[warm_up.min(samples.len())..];
    let (first, second) = samples.split_at(samples.len() / 2);
    (median(first), median(second))
}

fn median(samples: &[u64]) -> u64 {
    let mut samples = samples.to_vec();
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or(0)
}
