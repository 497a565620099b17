//! Where lines go: together, some milliseconds later.
//!
//! A line of its own for each request takes 3 of the 28 us of a short one (measured), and most of that is the write.
//! Whoever wants lines while they happen looks at a terminal, and there they are written at once.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a line may wait for others.
const DELAY: Duration = Duration::from_millis(20);
/// Bytes that may wait; whoever logs beyond that writes them, and waits for whoever reads slowly.
const FULL: usize = 1 << 20;

static WAITING: LazyLock<Arc<Waiting>> = LazyLock::new(Arc::default);

#[derive(Default)]
struct Waiting {
    lines: Mutex<Vec<u8>>,
    some: Condvar,
    /// Whoever writes holds it, so that lines keep their order.
    turn: Mutex<()>,
}

impl Waiting {
    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what there is; meanwhile others may add to it.
    fn write(&self) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut *self.lines());
        io::stderr().write_all(&lines)
    }
}

/// Takes in lines; [`flush`] or the sink's thread writes them to standard error.
pub(super) struct Sink(());

impl Sink {
    /// Starts the thread that writes.
    pub(super) fn start() -> io::Result<Sink> {
        let waiting = WAITING.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            loop {
                let lines = waiting.some.wait_while(waiting.lines(), |lines| lines.is_empty());
                drop(lines);
                thread::sleep(DELAY);
                // There is nobody to tell that nothing can be told.
                let _ = waiting.write();
            }
        })?;
        Ok(Sink(()))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = WAITING.lines();
        if lines.is_empty() {
            WAITING.some.notify_one();
        }
        lines.extend_from_slice(bytes);
        let full = lines.len() >= FULL;
        drop(lines);
        if full {
            WAITING.write()?;
        }
        Ok(bytes.len())
    }

    /// Called after each line: that would be too often.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes every line that waits: before the process ends, or says something by other ways.
pub fn flush() {
    let _ = WAITING.write();
}
