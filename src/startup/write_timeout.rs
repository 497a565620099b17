//! Clients that do not read lose their connection, and the provider's call ends with it.
//!
//! The kernel watches over it: while a client takes nothing, actix waits for room in the socket and polls neither
//! the answer nor anything that could keep the time.

use std::any::Any;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_web::dev::Extensions;

/// For [`actix_web::HttpServer::on_connect`]: ends a connection on which nothing could be sent, or nothing that was
/// sent was acknowledged, for so long.
#[cfg(target_os = "linux")]
pub(super) fn on_connect(limit: Duration) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync {
    move |connection, _| {
        let Some(socket) = connection.downcast_ref::<TcpStream>() else { return };
        // tcp(7), TCP_USER_TIMEOUT: it counts while data remains untransmitted due to a zero window, too.
        if let Err(error) = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(limit)) {
            log::warn!("server.client_write_timeout is not in force for a connection: {error}");
        }
    }
}

/// Elsewhere there is nobody to watch.
#[cfg(not(target_os = "linux"))]
pub(super) fn on_connect(_: Duration) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync {
    log::warn!(
        "server.client_write_timeout is not in force: it takes Linux. A client that does not read keeps its connection"
    );
    |_, _| ()
}
