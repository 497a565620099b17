//! Drills: trouble that lasts for a while and raises one of the shipped alerts, so that people can see their pager work.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use awc::Client;
use clap::ValueEnum;

use super::moods;

/// Long enough for Prometheus to have seen how it is without trouble.
const BEGINS_AFTER: Duration = Duration::from_secs(30);
/// Every model.
const ALL: &str = "*";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The providers answer 503
    Outage,
    /// The providers say nothing for 15 s, then answer
    Slow,
    /// The providers answer 429
    Ratelimit,
    /// Clients send very long prompts to a dear model
    Spend,
    /// Answers break off in the middle
    Truncate,
}

impl Scenario {
    /// The mood of all simulated models meanwhile; none when it is the clients that change.
    fn mood(self) -> Option<(&'static str, Option<u32>)> {
        match self {
            Scenario::Outage => Some(("unavailable", None)),
            Scenario::Slow => Some(("slow", Some(15_000))),
            Scenario::Ratelimit => Some(("rate-limit", Some(7))),
            Scenario::Truncate => Some(("cut", Some(3))),
            Scenario::Spend => None,
        }
    }

    /// The alert that it raises, under the rules in monitoring/.
    pub fn alert(self) -> &'static str {
        match self {
            Scenario::Outage => "ProviderDown",
            Scenario::Slow => "ModelFirstTokenSlow",
            Scenario::Ratelimit => "ProviderRateLimited",
            Scenario::Spend => "TokenSpendSpike",
            Scenario::Truncate => "ModelAnswersTruncated",
        }
    }
}

/// A scenario and how long it lasts.
#[derive(Debug, Clone, Copy)]
pub struct Drill {
    pub scenario: Scenario,
    pub lasts: Duration,
}

/// Runs a drill: waits, makes trouble, ends it, says so. While `spends` is set, clients spend.
pub(super) async fn run(drill: Drill, client: Client, simulator: SocketAddr, spends: Rc<Cell<bool>>) {
    let Drill { scenario, lasts } = drill;
    let name = scenario.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    tokio::time::sleep(BEGINS_AFTER).await;
    match scenario.mood() {
        Some((mood, argument)) => moods::set(&client, simulator, ALL, mood, argument, None).await,
        None => spends.set(true),
    }
    println!("scenario {name} has begun: {} should fire within 5 minutes", scenario.alert());
    tokio::time::sleep(lasts).await;
    match scenario.mood() {
        Some(_) => moods::clear(&client, simulator, ALL).await,
        None => spends.set(false),
    }
    println!("scenario {name} is over: {} should be resolved within 10 minutes", scenario.alert());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mood_is_one_that_the_simulator_has() {
        let known = crate::simulator::moods_help();
        let of_scenarios =
            Scenario::value_variants().iter().filter_map(|scenario| scenario.mood()).map(|(mood, _)| mood);
        for mood in of_scenarios.chain(moods::used()) {
            assert!(known.contains(&format!("\n  {mood} ")), "{mood}");
        }
    }
}
