//! Plays scripts on real sockets, all providers in one thread, and notes what it sees of the gateway.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::harness::provider::completion;
use crate::player::{Over, Player};
use crate::script::{Act, Port, Script};

/// What a provider has seen, and what its client has.
#[derive(Default)]
pub struct Seen {
    /// Requests that were read, or connections of a script that reads none.
    calls: AtomicUsize,
    connections: AtomicUsize,
    /// Connections that the gateway has closed.
    closed: Mutex<BTreeSet<usize>>,
    /// The connection of the last call.
    last: AtomicUsize,
    /// Set when the fault is over.
    well: AtomicBool,
    /// Set when the client has seen content.
    content: AtomicBool,
}

impl Seen {
    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// The number of the connection on which the last call came.
    pub fn last_connection(&self) -> usize {
        self.last.load(SeqCst)
    }

    /// Whether the gateway has closed this connection.
    pub fn is_closed(&self, connection: usize) -> bool {
        self.closed.lock().unwrap().contains(&connection)
    }

    /// From now on every call is answered well.
    pub fn recover(&self) {
        self.well.store(true, SeqCst);
    }

    /// The client has seen content.
    pub fn content_is_seen(&self) {
        self.content.store(true, SeqCst);
    }

    fn call(&self, connection: usize) -> usize {
        self.last.store(connection, SeqCst);
        self.calls.fetch_add(1, SeqCst)
    }
}

/// A running provider.
#[derive(Clone)]
pub struct Provider {
    pub url: String,
    pub seen: Arc<Seen>,
}

/// Starts a provider for each script. They end with the process.
pub fn start(scripts: Vec<Script>) -> Vec<Provider> {
    let (sender, started): (Sender<Provider>, Receiver<Provider>) = channel();
    let count = scripts.len();
    std::thread::spawn(move || {
        actix_rt::System::new().block_on(async {
            let (mut full, mut refused) = (Vec::new(), Vec::new());
            for script in scripts {
                let seen = Arc::new(Seen::default());
                let address = match script.port {
                    Port::Open => listen(script, seen.clone()).await,
                    Port::Refused => {
                        // Bound, so that nobody else gets it, but not listening.
                        let socket = TcpSocket::new_v4().unwrap();
                        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
                        let address = socket.local_addr().unwrap();
                        refused.push(socket);
                        address
                    }
                    Port::Full => {
                        let port = FullPort::open().await;
                        let address = port.address;
                        full.push(port);
                        address
                    }
                };
                sender.send(Provider { url: format!("http://{address}/v1"), seen }).unwrap();
            }
            std::future::pending::<()>().await;
        });
    });
    started.iter().take(count).collect()
}

/// A port whose queue is full, so that whoever connects waits.
struct FullPort {
    address: SocketAddr,
    /// Kept so that the queue stays full.
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl FullPort {
    async fn open() -> FullPort {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(socket)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            queued.push(socket);
        }
        FullPort { address, _listener: listener, _queued: queued }
    }
}

async fn listen(script: Script, seen: Arc<Seen>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = Rc::new(script);
    actix_rt::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let number = seen.connections.fetch_add(1, SeqCst);
            let connection =
                Connection { player: Player::new(socket), number, script: script.clone(), seen: seen.clone() };
            actix_rt::spawn(connection.serve());
        }
    });
    address
}

struct Connection {
    player: Player,
    number: usize,
    script: Rc<Script>,
    seen: Arc<Seen>,
}

impl Connection {
    async fn serve(mut self) {
        let over = loop {
            if let Err(over) = self.call().await {
                break over;
            }
        };
        if over == Over::ByGateway {
            self.seen.closed.lock().unwrap().insert(self.number);
        }
    }

    /// Plays the script once, or answers well when the fault is over.
    async fn call(&mut self) -> Result<(), Over> {
        let script = self.script.clone();
        let unread = !script.acts.iter().any(|act| matches!(act, Act::Read));
        if unread && !self.seen.well.load(SeqCst) {
            self.seen.call(self.number);
            return self.play(&script).await;
        }
        let request = self.player.read().await?;
        let call = self.seen.call(self.number);
        let faulty = (script.from_call..script.until_call).contains(&call);
        match (faulty && !self.seen.well.load(SeqCst), request["stream"] == true) {
            (true, _) => self.play(&script).await,
            (false, true) => self.play(&Script::stream().role().text("well").ends_well()).await,
            (false, false) => self.play(&Script::body(completion("well").to_string())).await,
        }
    }

    async fn play(&mut self, script: &Script) -> Result<(), Over> {
        self.player.play(&script.acts, || self.seen.content.load(SeqCst)).await
    }
}
