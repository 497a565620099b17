//! What the limits of a key cost a request: admitted, its standing told, settled. In memory; Redis is a round trip.

use std::sync::Arc;

use divan::{Bencher, black_box};
use futures_util::FutureExt;
use gatewayz::catalog::ModelLabel;
use gatewayz::config::KeyLimits;
use gatewayz::limits::meter::{Estimate, Meter, Meters, Used};

fn main() {
    divan::main();
}

const USED: Used = Used {
    requests: 1,
    errors: 0,
    input_tokens: 10,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: 3,
    cost: 1e-6,
};

/// Limits of every kind, none of which is reached.
const ALL: KeyLimits = KeyLimits {
    requests_per_minute: Some(u64::MAX / 2),
    input_tokens_per_minute: Some(u64::MAX / 2),
    output_tokens_per_minute: Some(u64::MAX / 2),
    concurrent_requests: Some(1_000_000),
    usd_per_day: Some(1e12),
    usd_per_month: Some(1e12),
};

fn request(meter: &Arc<Meter>) {
    let estimate = Estimate { model: ModelLabel(0), input_tokens: 12, most_cost: 1e-3 };
    let admitted = meter.admit(black_box(estimate)).now_or_never().expect("an answer at once");
    let mut reservation = admitted.expect("no limit is reached");
    reservation.settle(ModelLabel(0), black_box(USED));
    black_box(meter.standing());
}

/// By two threads too: the workers share the meter.
#[divan::bench(threads = [1, 2])]
fn no_limits(bencher: Bencher) {
    let meter = Meters::default().configure("key", KeyLimits::default());
    bencher.bench(|| request(&meter));
}

#[divan::bench(threads = [1, 2])]
fn all_limits(bencher: Bencher) {
    let meter = Meters::default().configure("key", ALL);
    bencher.bench(|| request(&meter));
}
