//! Two providers in one thread: one that is well, and one that is anything but.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::Rng;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::asked::{Asked, Hold, WORDS_A_TIME};
use crate::player::Player;
use crate::script::Script;

/// How often each kind of fault occurs, in percent.
pub const SHARE: usize = 5;

/// What a provider says of a request that waits for it.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>;

/// Both providers.
#[derive(Clone)]
pub struct Providers {
    pub chaotic: SocketAddr,
    pub healthy: SocketAddr,
    waiting: Waiting,
    /// How often each fault was played, by its name.
    played: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Providers {
    /// Starts them; they end with the process.
    pub fn start() -> Providers {
        let (waiting, played) = (Waiting::default(), Arc::default());
        let (sender, started) = channel();
        let here = (waiting.clone(), Arc::clone(&played));
        std::thread::spawn(move || {
            actix_rt::System::new().block_on(async {
                listen(true, &here, &sender).await;
                listen(false, &here, &sender).await;
                std::future::pending::<()>().await;
            });
        });
        let next = || started.recv().expect("an address");
        Providers { chaotic: next(), healthy: next(), waiting, played }
    }

    /// Completes when a provider has read the request of this number.
    pub fn has_read(&self, number: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(number, sender);
        receiver
    }

    pub fn played(&self) -> BTreeMap<&'static str, u64> {
        self.played.lock().unwrap().clone()
    }
}

type Shared = (Waiting, Arc<Mutex<BTreeMap<&'static str, u64>>>);

async fn listen(chaotic: bool, shared: &Shared, sender: &Sender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    sender.send(listener.local_addr().expect("an address")).expect("somebody waits for it");
    let (waiting, played) = shared.clone();
    actix_rt::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (waiting, played) = (waiting.clone(), played.clone());
            actix_rt::spawn(async move {
                let mut player = Player::new(socket);
                while let Ok(body) = player.read().await {
                    let asked = Asked::read(&body);
                    if let Some(waiting) = waiting.lock().unwrap().remove(&asked.number) {
                        // The client may have been given up.
                        let _ = waiting.send(());
                    }
                    let (name, script) = script(chaotic, &asked);
                    *played.lock().unwrap().entry(name).or_default() += 1;
                    if player.play(&script.acts, || true).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// What is done with a request, and how that is called.
fn script(chaotic: bool, asked: &Asked) -> (&'static str, Script) {
    let faults = if chaotic && asked.hold == Hold::Never { faults() } else { Vec::new() };
    let place = rand::rng().random_range(0..100) / SHARE;
    match (asked.hold, faults.get(place)) {
        (Hold::BeforeHead, _) => ("held before the head", Script::asked().hold()),
        (Hold::AfterContent, _) => ("held after content", beginning(asked, 1).hold()),
        (Hold::Never, Some((name, fault))) => (name, fault(asked)),
        (Hold::Never, None) => ("well", well(asked)),
    }
}

type Fault = (&'static str, fn(&Asked) -> Script);

/// The faults; each of them has the same share, and what is left of 100 percent is well.
pub fn faults() -> Vec<Fault> {
    vec![
        ("closed without an answer", |_| Script::asked().close()),
        ("reset without an answer", |_| Script::asked().reset()),
        ("not HTTP", |_| Script::asked().raw("SSH-2.0-OpenSSH_9.2\r\n\r\n").close()),
        ("never answers", |_| Script::asked().hold()),
        ("status 400", |_| Script::status(400)),
        ("status 401", |_| Script::status(401)),
        ("status 429, try again now", |_| Script::fails(429, &[("retry-after", "0")], "slow down")),
        ("status 429, much later", |_| Script::fails(429, &[("retry-after", "99")], "slow down")),
        ("status 500", |_| Script::status(500)),
        ("status 503", |_| Script::status(503)),
        ("error in a 200", |_| Script::body(json!({"error": {"message": "it broke", "code": 502}}).to_string())),
        ("cut before content", |asked| match asked.stream {
            true => Script::stream().role().close(),
            false => Script::half_a_body().close(),
        }),
        ("cut after content", |asked| match asked.stream {
            true => beginning(asked, 2).close(),
            false => Script::half_a_body().reset(),
        }),
        ("stalls", |asked| match asked.stream {
            true => beginning(asked, 2).hold(),
            false => Script::half_a_body().hold(),
        }),
        ("chunk that is no JSON", |asked| match asked.stream {
            true => beginning(asked, 2).chunk("data: {\"choices\":[{\n\n").end(),
            false => Script::body("{\"choices\":[{"),
        }),
        ("error after content", |asked| match asked.stream {
            true => beginning(asked, 2).data(&json!({"error": {"code": 502, "message": "it broke"}})).end(),
            false => Script::body("[]"),
        }),
    ]
}

/// The first pieces of a stream.
fn beginning(asked: &Asked, pieces: usize) -> Script {
    asked
        .pieces()
        .take(pieces)
        .fold(Script::stream().role(), |script, piece| script.text(&piece))
        .pause(Duration::from_millis(asked.pace))
}

/// A whole answer.
fn well(asked: &Asked) -> Script {
    let (input, output) = asked.usage();
    let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    if asked.stream {
        let mut script = Script::stream().role();
        let pieces: Vec<String> = asked.pieces().collect();
        for some in pieces.chunks(WORDS_A_TIME) {
            script = some.iter().fold(script, |script, piece| script.text(piece));
            script = script.pause(Duration::from_millis(asked.pace));
        }
        let script = match asked.tool {
            true => {
                let arguments = asked.arguments();
                let (first, rest) = arguments.split_at(5);
                script.call(0, Some("get"), first).call(0, None, rest).finish("tool_calls")
            }
            false => script.finish("stop"),
        };
        return script.data(&json!({"choices": [], "usage": usage})).done().end();
    }
    let call = json!({"id": "call_0", "type": "function", "function": {"name": "get", "arguments": asked.arguments()}});
    let calls = if asked.tool { json!([call]) } else { Value::Null };
    let finish = if asked.tool { "tool_calls" } else { "stop" };
    let message = json!({"role": "assistant", "content": asked.text(), "tool_calls": calls});
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage});
    let Script { mut acts, .. } = Script::asked().pause(asked.time());
    acts.extend(Script::body(body.to_string()).acts.into_iter().skip(1));
    Script { acts, ..Script::asked() }
}
