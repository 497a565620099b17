//! `gatewayz healthcheck`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::Outcome;
use crate::config::load::load;
use crate::config::secrets::Environment;

/// Longer than that, and a container's health check would have given up.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks `/healthz` of the gateway that this configuration describes.
pub fn run(config: Option<&Path>, environment: &Environment) -> Outcome {
    let server = load(config, environment)?.settings.server;
    let host: IpAddr = server.host.parse()?;
    let host = if host.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host };
    let url = format!("http://{}/healthz", SocketAddr::new(host, server.port));
    actix_rt::System::new().block_on(async {
        let client = awc::Client::builder().timeout(TIMEOUT).disable_redirects().finish();
        match client.get(&url).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("{url} answers {}", answer.status()).into()),
            Err(error) => Err(format!("{url} does not answer: {error}").into()),
        }
    })
}
