//! A provider's end of one connection, which plays the acts of scripts.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::script::Act;

/// How often a provider looks whether what it waits for has come.
const LOOK: Duration = Duration::from_millis(2);

/// Who has closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    ByGateway,
    ByProvider,
}

/// See the module.
pub struct Player(BufReader<TcpStream>);

impl Player {
    pub fn new(socket: TcpStream) -> Player {
        // A socket that refuses the option works all the same.
        let _ = socket.set_nodelay(true);
        Player(BufReader::new(socket))
    }

    /// Takes in the next request, and gives its body.
    pub async fn read(&mut self) -> Result<Value, Over> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.map_err(|_| Over::ByGateway)?);
        }
        let head = String::from_utf8(head).expect("a head in ASCII").to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.trim().parse().expect("a number")];
        self.0.read_exact(&mut body).await.map_err(|_| Over::ByGateway)?;
        Ok(serde_json::from_slice(&body).expect("a body in JSON"))
    }

    /// Ends well when the connection is free for the next call. The first request has been read by the caller, who
    /// also knows whether the client has seen content.
    pub async fn play(&mut self, acts: &[Act], content_is_seen: impl Fn() -> bool) -> Result<(), Over> {
        for (place, act) in acts.iter().enumerate() {
            match act {
                Act::Read if place == 0 => {}
                Act::Read => drop(self.read().await?),
                Act::Send(bytes) => self.send(bytes).await?,
                Act::SendBytewise(bytes) => {
                    for byte in bytes {
                        self.send(&[*byte]).await?;
                        tokio::task::yield_now().await;
                    }
                }
                Act::Pause(time) => tokio::time::sleep(*time).await,
                Act::Drip(bytes, every) => loop {
                    self.send(bytes).await?;
                    if let Ok(over) = tokio::time::timeout(*every, self.closed()).await {
                        return Err(over);
                    }
                },
                Act::UntilContentIsSeen => {
                    while !content_is_seen() {
                        tokio::time::sleep(LOOK).await;
                    }
                }
                Act::Hold => return Err(self.closed().await),
                Act::Close => {
                    // A gateway that is gone needs no farewell.
                    let _ = self.0.shutdown().await;
                    return Err(Over::ByProvider);
                }
                Act::Reset => {
                    self.0.get_ref().set_zero_linger().expect("a socket that can be reset");
                    return Err(Over::ByProvider);
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.0.write_all(bytes).await.map_err(|_| Over::ByGateway)
    }

    /// Waits until the gateway closes the connection.
    async fn closed(&mut self) -> Over {
        let mut sink = [0; 1024];
        while let Ok(1..) = self.0.read(&mut sink).await {}
        Over::ByGateway
    }
}
