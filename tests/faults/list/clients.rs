//! Clients that go away, ask for something wrong, or come too late.

use super::{Client, Fault};
use crate::expect::Connection::{Closed, Gone, Kept};
use crate::expect::{
    Answer, DRAINING, Expected, Failure, INVALID_REQUEST, NO_CALL, TOO_LARGE, UNAUTHENTICATED, UNKNOWN_MODEL, fails,
};
use crate::script::Script;

/// A request that no provider may see.
fn turned_away(name: &'static str, client: Client, failure: Failure, reason: &'static str) -> Fault {
    let expected = Expected { answer: Answer::TurnedAway(failure, reason), connection: Gone };
    Fault::both(name, Script { until_call: 0, ..Script::asked() }, expected).when(client)
}

pub fn faults() -> Vec<Fault> {
    let held = || Script::stream().role().text("Hello").hold();
    let gone = || Expected { answer: Answer::Nothing, connection: Closed };
    vec![
        Fault::both("client gone before the head", Script::asked().hold(), gone()).when(Client::HangsUpBeforeContent),
        Fault::each(
            "client gone before content",
            (Script::half_a_body().hold(), gone()),
            (Script::stream().role().hold(), gone()),
        )
        .when(Client::HangsUpBeforeContent),
        Fault::stream("client gone after content", held(), gone()).when(Client::HangsUpAfterContent),
        Fault::both("no place for a call", held(), fails(NO_CALL.after("1"), Closed))
            .with("max_concurrent = 1\nmax_queue = 0\nqueue_timeout = \"1s\"")
            .when(Client::FindsThePlaceTaken),
        Fault::both("no place for a call in time", held(), fails(NO_CALL.after("1"), Closed))
            .with("max_concurrent = 1\nqueue_timeout = \"100ms\"")
            .when(Client::FindsThePlaceTaken),
        Fault::both("client gone in the queue", held(), gone())
            .with("max_concurrent = 1\nqueue_timeout = \"1h\"")
            .when(Client::HangsUpInTheQueue),
        Fault::both("circuit open", Script::status(500), fails(NO_CALL.after("3600"), Kept))
            .with("breaker = { min_requests = 1, open_for = \"1h\" }")
            .when(Client::FindsTheCircuitOpen),
        turned_away("no key", Client::HasNoKey, UNAUTHENTICATED, "auth"),
        turned_away("wrong key", Client::HasAWrongKey, UNAUTHENTICATED, "auth"),
        turned_away("request over the bound", Client::SendsTooMuch, TOO_LARGE, "too_large"),
        turned_away("request that is no JSON", Client::SendsNoJson, INVALID_REQUEST, "validation"),
        turned_away("request that is wrong", Client::AsksForNoTokens, INVALID_REQUEST, "validation"),
        turned_away("unknown model", Client::AsksForAnUnknownModel, UNKNOWN_MODEL, "unknown_model"),
        turned_away("request while the gateway stops", Client::ComesLate, DRAINING, "shutting_down"),
    ]
}
