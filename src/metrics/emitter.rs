//! A worker's side of the metrics: collects observations and sends them in batches.
//!
//! A message of its own for each request would wake the metrics thread each time, which costs more than
//! everything else in a short request (8 to 11 us, measured).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;

use super::actor::{Batch, Metrics, Register};
use super::observation::Observation;

/// A batch is sent when it has so many observations, ...
const FULL: usize = 512;
/// ... and what is there is sent so often.
const INTERVAL: Duration = Duration::from_millis(100);

/// Records observations; one for all code of a worker, cheap to clone.
#[derive(Clone)]
pub struct Emitter(Rc<Held>);

/// What has not been sent yet. Sent when the worker ends.
struct Held {
    observations: RefCell<Vec<Observation>>,
    metrics: Addr<Metrics>,
}

impl Emitter {
    /// Starts the emitter of the current worker and makes it known to the metrics actor.
    pub fn start(metrics: Addr<Metrics>) -> Emitter {
        let emitter = Emitter(Rc::new(Held { observations: RefCell::default(), metrics }));
        let collector = Collector { emitter: emitter.clone() }.start();
        emitter.0.metrics.do_send(Register(collector.recipient()));
        emitter
    }

    /// Takes an observation in.
    pub fn record(&self, observation: Observation) {
        let full = {
            let mut held = self.0.observations.borrow_mut();
            held.push(observation);
            held.len() >= FULL
        };
        if full {
            self.0.send();
        }
    }
}

impl Held {
    fn send(&self) {
        let batch = self.take();
        if !batch.is_empty() {
            self.metrics.do_send(Batch(batch));
        }
    }

    fn take(&self) -> Vec<Observation> {
        std::mem::take(&mut *self.observations.borrow_mut())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.send();
    }
}

/// Asks an emitter for everything that it holds.
#[derive(Message)]
#[rtype(result = "Vec<Observation>")]
pub struct Flush;

/// The actor behind an [`Emitter`]: sends what lies too long, and answers [`Flush`].
struct Collector {
    emitter: Emitter,
}

impl Actor for Collector {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(INTERVAL, |collector, _| collector.emitter.0.send());
    }
}

impl Handler<Flush> for Collector {
    type Result = MessageResult<Flush>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.emitter.0.take())
    }
}
