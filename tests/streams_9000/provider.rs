//! A provider in a process of its own: this program again, in another role. Its streams begin at once and end when it
//! is told so.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::harness::provider::completion;
use crate::player::Player;
use crate::script::Script;

/// The argument that asks for this role.
pub const ROLE: &str = "provider";
/// What every stream says at its beginning and at its end.
pub const FIRST: &str = "first ";
pub const LAST: &str = "last";

/// The provider, seen from the process that tests. It ends when dropped.
pub struct Provider {
    child: Child,
    orders: ChildStdin,
    address: String,
}

impl Provider {
    pub fn start() -> Provider {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        let mut child = command.arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut address = String::new();
        let out = child.stdout.take().expect("what it says");
        BufReader::new(out).read_line(&mut address).expect("its address");
        let orders = child.stdin.take().expect("where it listens");
        Provider { child, orders, address: address.trim().to_owned() }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Lets all streams end well: those that are open, and those that begin from now on.
    pub fn end_streams(&self) {
        writeln!(&self.orders).expect("the provider runs");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays the provider until nobody gives orders any more.
pub fn run() {
    let (sender, may_end) = watch::channel(false);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines().map_while(Result::ok) {
            sender.send_replace(true);
        }
        std::process::exit(0);
    });
    actix_rt::System::new().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            match listener.accept().await {
                Ok((socket, _)) => drop(actix_rt::spawn(serve(Player::new(socket), may_end.clone()))),
                Err(error) => eprintln!("the provider cannot accept: {error}"),
            }
        }
    });
}

async fn serve(mut player: Player, mut may_end: watch::Receiver<bool>) {
    let beginning = Script::stream().role().text(FIRST);
    let end = Script { acts: Vec::new(), ..Script::asked() }.text(LAST).ends_well();
    while let Ok(body) = player.read().await {
        let played = if body["stream"] == true {
            if player.play(&beginning.acts, || true).await.is_err() || may_end.wait_for(|end| *end).await.is_err() {
                return;
            }
            player.play(&end.acts, || true).await
        } else {
            player.play(&Script::body(completion("well").to_string()).acts, || true).await
        };
        if played.is_err() {
            return;
        }
    }
}
