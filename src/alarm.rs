//! A time limit that is set again and again.
//!
//! Each piece of a stream is waited for with a limit. A timer of its own for each would be put into tokio's wheel and taken
//! out again each time; one is kept instead, and moved on only when there is something to wait for.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// See the module. No timer runs before it is waited for.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// What `work` gives if it comes before this time, or together with it.
    pub async fn before<T>(&mut self, time: Instant, mut work: impl Future<Output = T> + Unpin) -> Option<T> {
        let mut set = false;
        poll_fn(|context| {
            if let Poll::Ready(done) = Pin::new(&mut work).poll(context) {
                return Poll::Ready(Some(done));
            }
            if !std::mem::replace(&mut set, true) {
                self.set(time);
            }
            self.poll(context).map(|()| None)
        })
        .await
    }

    /// From now on it rings at this time.
    fn set(&mut self, time: Instant) {
        match &mut self.0 {
            Some(timer) if timer.deadline().into_std() == time => {}
            Some(timer) => timer.as_mut().reset(time.into()),
            None => self.0 = Some(Box::pin(sleep_until(time.into()))),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(timer) => timer.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_each_time_it_is_set() {
        let mut alarm = Alarm::default();
        let begun = tokio::time::Instant::now();
        let at = |seconds| (begun + Duration::from_secs(seconds)).into_std();
        assert_eq!(alarm.before(at(0), ready(1)).await, Some(1), "what is ready comes first");
        for seconds in [2, 5, 5, 3, 9] {
            assert_eq!(alarm.before(at(seconds), pending::<()>()).await, None);
        }
        assert_eq!(begun.elapsed().as_secs(), 9);
        let soon = Box::pin(tokio::time::sleep(Duration::from_secs(1)));
        assert_eq!(alarm.before(at(20), soon).await, Some(()));
        assert_eq!(begun.elapsed().as_secs(), 10);
    }
}
