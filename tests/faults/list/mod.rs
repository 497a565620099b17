//! The faults. A new one is an entry in one of these lists.

mod answers;
mod clients;
mod connections;
mod statuses;
mod streams;

use crate::expect::{Expected, Failure, fails};
use crate::script::Script;

/// The bound on a body, a client's or a provider's.
pub const MAX_BODY_KB: usize = 20;
/// The bounds on a line and on what is held of a stream.
pub const MAX_STREAM_KB: usize = 4;

/// For faults that time ends; all others have the patience of the defaults. Long enough for what goes well on a busy
/// machine.
const LITTLE_PATIENCE: &str = "first_byte_timeout = \"1500ms\"";
const LITTLE_IDLENESS: &str = "idle_timeout = \"1500ms\"";

/// Something that goes wrong, and what must come of it.
pub struct Fault {
    pub name: &'static str,
    pub client: Client,
    /// Lines of the provider in the configuration.
    pub lines: &'static str,
    /// What the provider does with a request for a whole answer and for a stream.
    pub whole: Option<(Script, Expected)>,
    pub stream: Option<(Script, Expected)>,
}

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Waits,
    HangsUpBeforeContent,
    HangsUpAfterContent,
    /// Finds the only place for a call taken, by a stream that goes on.
    FindsThePlaceTaken,
    /// The same, and goes away while it waits.
    HangsUpInTheQueue,
    /// Comes after a request whose failure has opened the circuit.
    FindsTheCircuitOpen,
    HasNoKey,
    HasAWrongKey,
    SendsTooMuch,
    SendsNoJson,
    AsksForNoTokens,
    AsksForAnUnknownModel,
    /// Asks when the gateway has been told to stop.
    ComesLate,
}

impl Client {
    /// Whether it is about a provider, or turned away before one is looked for.
    pub fn asks_a_provider(self) -> bool {
        match self {
            Client::Waits | Client::HangsUpBeforeContent | Client::HangsUpAfterContent => true,
            Client::FindsThePlaceTaken | Client::HangsUpInTheQueue | Client::FindsTheCircuitOpen => true,
            Client::HasNoKey | Client::HasAWrongKey | Client::SendsTooMuch | Client::SendsNoJson => false,
            Client::AsksForNoTokens | Client::AsksForAnUnknownModel | Client::ComesLate => false,
        }
    }

    /// Whether the request counts as one for its model.
    pub fn reaches_a_model(self) -> bool {
        self.asks_a_provider() || self == Client::AsksForNoTokens
    }
}

impl Fault {
    /// A provider that does this, asked both ways.
    fn both(name: &'static str, script: Script, expected: Expected) -> Fault {
        Fault::each(name, (script.clone(), expected.clone()), (script, expected))
    }

    /// A provider that does the first when it is asked for a whole answer, and the second for a stream.
    fn each(name: &'static str, whole: (Script, Expected), stream: (Script, Expected)) -> Fault {
        Fault { name, client: Client::Waits, lines: "", whole: Some(whole), stream: Some(stream) }
    }

    /// A stream that has no like among whole answers.
    fn stream(name: &'static str, script: Script, expected: Expected) -> Fault {
        Fault { name, client: Client::Waits, lines: "", whole: None, stream: Some((script, expected)) }
    }

    fn with(mut self, lines: &'static str) -> Fault {
        self.lines = lines;
        self
    }

    fn when(mut self, client: Client) -> Fault {
        self.client = client;
        self
    }
}

/// A whole answer that fails, whatever was asked for, after which the connection is as good as before.
fn answered(name: &'static str, script: Script, failure: Failure) -> Fault {
    Fault::both(name, script, fails(failure, crate::expect::Connection::Kept))
}

/// All of them.
pub fn faults() -> Vec<Fault> {
    [connections::faults(), statuses::faults(), answers::faults(), streams::faults(), clients::faults()]
        .into_iter()
        .flatten()
        .collect()
}
