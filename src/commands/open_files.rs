//! How many files and sockets the process may have open.

use crate::config::Server;

/// What is open besides the connections of clients and providers: logs, name resolution, event queues.
const BESIDES: u64 = 100;

/// Raises the soft limit to the hard one, and says when it is too low for what the settings allow.
pub(super) fn raise(server: &Server) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => {
            log::info!("up to {limit} open files and sockets");
            if let Some(shortage) = shortage(limit, server) {
                log::warn!("{shortage}");
            }
        }
        Err(error) => log::warn!("the limit on open files cannot be raised: {error}"),
    }
}

/// What a limit is too low for, what that means, and what to do.
fn shortage(limit: u64, server: &Server) -> Option<String> {
    // A request holds two sockets: its client's and its provider's.
    let (inflight, connections) = (server.max_inflight as u64, server.max_connections as u64);
    let needed = inflight.saturating_mul(2).max(connections).saturating_add(BESIDES);
    (limit < needed).then(|| {
        format!(
            "only {limit} files and sockets may be open, and server.max_inflight = {inflight} with server.max_connections = \
             {connections} can take {needed}: under such load new connections would fail. Raise the hard limit (ulimit -n, \
             LimitNOFILE=, --ulimit nofile=), or set server.max_inflight to {} and server.max_connections to {} at most",
            limit.saturating_sub(BESIDES) / 2,
            limit.saturating_sub(BESIDES)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::load;
    use crate::config::secrets::Environment;

    fn server(max_inflight: usize, max_connections: usize) -> Server {
        let server = load(None, &Environment::default()).unwrap().settings.server;
        Server { max_inflight, max_connections, ..server }
    }

    #[test]
    fn two_sockets_for_each_request_or_one_for_each_connection_must_fit() {
        assert_eq!(shortage(2_100, &server(1_000, 1_000)), None);
        assert_eq!(shortage(2_100, &server(1_000, 2_000)), None);
        for (short, settings) in [(2_099, server(1_000, 1_000)), (2_100, server(1_000, 2_001))] {
            let said = shortage(short, &settings).expect("too low");
            assert!(said.contains("server.max_inflight to ") && said.contains("ulimit"), "{said}");
        }
        assert!(shortage(u64::MAX - 1, &server(usize::MAX, 1)).is_some());
    }

    #[test]
    fn what_is_advised_fits() {
        for limit in [1_024, 20_000, 65_536] {
            let advised = (limit - BESIDES) as usize;
            assert_eq!(shortage(limit, &server(advised / 2, advised)), None);
            assert!(shortage(limit, &server(20_000, 25_000)).is_none_or(|said| said.contains(&advised.to_string())));
        }
    }
}
