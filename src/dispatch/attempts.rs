//! Which provider is asked next, and when: the routes of one request in their order, each with its attempts.

use std::time::{Duration, Instant};

use rand::Rng;

use super::rules::{Attempt, Next, next};
use super::{Asked, Dispatcher, Prepared, prepare};
use crate::catalog::Route;
use crate::error::{Cause, GatewayError};
use crate::metrics::observation::{Observation, Rejection, RetryReason};
use crate::providers::protocol::Ask;
use crate::wire::pieces::Pieces;

/// See the module.
pub(super) struct Attempts {
    /// Still to be tried, the next one last.
    others: Vec<Route>,
    route: Route,
    /// The request for this route, once it has been written.
    prepared: Option<Prepared>,
    /// On this route, from 1.
    number: u32,
    /// One of them has met a connection that closed without an answer.
    disconnected: bool,
    /// When this route got its turn.
    since: Instant,
    /// A failure of an earlier route after which the client may come again.
    passing: Option<GatewayError>,
}

impl Attempts {
    /// `None` without routes.
    pub(super) fn over(routes: &[Route]) -> Option<Attempts> {
        let mut others = in_order(routes, || rand::rng().random());
        others.reverse();
        Some(Attempts {
            route: others.pop()?,
            others,
            prepared: None,
            number: 1,
            disconnected: false,
            since: Instant::now(),
            passing: None,
        })
    }

    /// Whom to ask.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// The next attempt.
    pub(super) fn ask(&self, dispatcher: &Dispatcher, body: Pieces, stream: bool) -> Ask {
        Ask { body, stream, time_left: self.time_left(dispatcher), disconnected_before: self.disconnected }
    }

    fn enter(&mut self, route: Route) {
        (self.route, self.prepared, self.number, self.disconnected) = (route, None, 1, false);
        self.since = Instant::now();
    }

    /// What to ask. A route whose dialect cannot take the request is passed over, as long as there is another.
    pub(super) fn prepared(
        &mut self,
        dispatcher: &Dispatcher,
        asked: &Asked<'_, '_>,
    ) -> Result<&Prepared, GatewayError> {
        let prepared = loop {
            if let Some(prepared) = self.prepared.take() {
                break prepared;
            }
            match prepare(dispatcher, asked, &self.route) {
                Ok(prepared) => break prepared,
                Err(error) => match self.others.pop() {
                    Some(route) => self.enter(route),
                    None => {
                        dispatcher.emitter.record(Observation::Rejected(Rejection::Validation));
                        return Err(error);
                    }
                },
            }
        };
        Ok(self.prepared.insert(prepared))
    }

    /// What is left of the time for this route.
    fn time_left(&self, dispatcher: &Dispatcher) -> Duration {
        let total = dispatcher.providers.get(self.route.provider).map(|provider| provider.total_timeout);
        total.unwrap_or_default().saturating_sub(self.since.elapsed())
    }

    /// Takes a failure in: the pause before the next attempt, or the failure when there is none.
    pub(super) fn after(&mut self, dispatcher: &Dispatcher, error: GatewayError) -> Result<Duration, GatewayError> {
        let attempt = Attempt {
            number: self.number,
            cause: error.cause,
            disconnected_before: self.disconnected,
            retry_after: error.retry_after.map(Duration::from_secs),
            time_left: self.time_left(dispatcher),
            chance: rand::rng().random(),
        };
        let provider = self.route.provider;
        let name = |id| dispatcher.catalog.provider_name(id);
        // The cause only: a provider's own words may repeat the prompt.
        let cause = error.cause;
        if cause == Cause::ProviderAccount {
            dispatcher.emitter.record(Observation::AccountRefused { provider });
        }
        match next(&dispatcher.retry, attempt) {
            Next::Retry { after, reason } => {
                log::info!("provider {} failed ({cause:?}), asking again in {after:?}", name(provider));
                dispatcher.emitter.record(Observation::Retry { provider, reason });
                self.number += 1;
                self.disconnected |= reason == RetryReason::Disconnected;
                Ok(after)
            }
            Next::GoOn => {
                let Some(route) = self.others.pop() else {
                    log::warn!("provider {} failed ({cause:?}), and no route is left", name(provider));
                    return Err(self.told(error));
                };
                log::warn!("provider {} failed ({cause:?}), going on with {}", name(provider), name(route.provider));
                dispatcher.emitter.record(Observation::Fallback { from: provider, to: route.provider });
                self.enter(route);
                if error.cause.may_pass() {
                    self.passing = Some(error);
                }
                Ok(Duration::ZERO)
            }
            Next::GiveUp => Err(error),
        }
    }

    /// What the client is told when the last route has failed: the trouble of one provider with its account or its
    /// catalog must not say that coming again is no use, when another one was only busy.
    fn told(&mut self, last: GatewayError) -> GatewayError {
        match self.passing.take() {
            Some(passing) if !last.cause.may_pass() => passing,
            _ => last,
        }
    }
}

/// The order in which routes are tried. Neighbours with a weight share a place: they are drawn by weight, one after
/// the other. `chance` draws from 0 to 1.
fn in_order(routes: &[Route], mut chance: impl FnMut() -> f64) -> Vec<Route> {
    let mut order = Vec::with_capacity(routes.len());
    for place in routes.chunk_by(|one, next| one.weight.is_some() && next.weight.is_some()) {
        let mut left: Vec<&Route> = place.iter().collect();
        while left.len() > 1 {
            let weight = |route: &Route| route.weight.map_or(1.0, |weight| f64::from(weight.get()));
            let mut drawn = chance() * left.iter().map(|route| weight(route)).sum::<f64>();
            let hit = left.iter().position(|route| {
                drawn -= weight(route);
                drawn < 0.0
            });
            order.push(left.remove(hit.unwrap_or(left.len() - 1)).clone());
        }
        order.extend(left.into_iter().cloned());
    }
    order
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::*;
    use crate::catalog::{ProviderId, Upstream};
    use crate::translate::dialect::Dialect;

    fn routes(weights: &[Option<u32>]) -> Vec<Route> {
        let dialect = Arc::new(Dialect::named("generic").unwrap());
        let route = |(at, weight): (u16, &Option<u32>)| Route {
            provider: ProviderId(at),
            model: "x".to_owned(),
            dialect: dialect.clone(),
            weight: weight.and_then(NonZeroU32::new),
            upstream: Upstream::Named(0),
        };
        (0..).zip(weights).map(route).collect()
    }

    fn order(weights: &[Option<u32>], chance: impl FnMut() -> f64) -> Vec<u16> {
        in_order(&routes(weights), chance).iter().map(|route| route.provider.0).collect()
    }

    #[test]
    fn routes_without_weights_keep_their_order() {
        assert_eq!(order(&[None, None, None], || panic!("nothing to draw")), [0, 1, 2]);
    }

    #[test]
    fn neighbours_with_weights_are_drawn_and_keep_their_place_among_the_others() {
        assert_eq!(order(&[Some(1), Some(3), None, Some(1)], || 0.0), [0, 1, 2, 3]);
        assert_eq!(order(&[Some(1), Some(3), None, Some(1)], || 0.26), [1, 0, 2, 3]);
        assert_eq!(order(&[None, Some(1), Some(1), Some(2)], || 0.99), [0, 3, 2, 1]);
    }

    #[test]
    fn the_shares_are_those_of_the_weights() {
        let mut first = [0; 3];
        for at in 0..1000 {
            first[usize::from(order(&[Some(5), Some(3), Some(2)], || f64::from(at) / 1000.0)[0])] += 1;
        }
        assert_eq!(first, [500, 300, 200]);
    }
}
