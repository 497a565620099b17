//! What the limits of a key cost a request: admitted, its standing told in the headers of the answer, settled. In memory;
//! Redis is a round trip.
//!
//! Prints the difference between limits of every kind and none, and fails when it is more than 3 us.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::header::HeaderMap;
use divan::{Bencher, black_box};
use futures_util::FutureExt;
use gatewayz::catalog::ModelLabel;
use gatewayz::config::KeyLimits;
use gatewayz::handlers::limits::show;
use gatewayz::limits::meter::{Bounds, Estimate, Meter, Meters, Used};

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

/// What the limits of a key may cost a request.
const MOST_NANOSECONDS: f64 = 3000.0;

fn main() {
    divan::main();
    if std::env::args().any(|argument| argument == "--bench") {
        compare();
    }
}

/// Limits on and off in turn, so that both meet the same machine; the quickest round of each is the least disturbed.
fn compare() {
    const REQUESTS: u32 = 20_000;
    let round = |limits| {
        let meter = Meters::default().configure("key", limits);
        let begun = Instant::now();
        (0..REQUESTS).for_each(|_| request(&meter));
        begun.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
    };
    let (mut off, mut on) = (f64::MAX, f64::MAX);
    for _ in 0..50 {
        off = off.min(round(KeyLimits::default()));
        on = on.min(round(ALL));
    }
    println!("limits off {off:.0} ns, on {on:.0} ns: {:.0} ns for a request, {:.1} x", on - off, on / off);
    assert!(on - off <= MOST_NANOSECONDS, "more than {MOST_NANOSECONDS} ns");
}

fn request(meter: &Arc<Meter>) {
    let estimate = Estimate { model: ModelLabel(0), input_tokens: 12, cost: Some(Bounds { input: 1e-5, most: 1e-3 }) };
    let admitted = meter.admit(black_box(estimate)).now_or_never().expect("an answer at once");
    let mut reservation = admitted.expect("no limit is reached");
    reservation.settle(ModelLabel(0), black_box(USED));
    let mut headers = HeaderMap::new();
    show(&mut headers, &meter.standing());
    black_box(headers);
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
