//! `gatewayz serve`

use std::path::Path;

use super::{Outcome, open_files};
use crate::config::load::load;
use crate::config::secrets::Environment;
use crate::startup::{Gateway, Options, ProcessSignals};

/// Runs the gateway until a signal stops it.
pub fn run(config: Option<&Path>, environment: &Environment, insecure: bool) -> Outcome {
    let loaded = load(config, environment)?;
    open_files::raise(&loaded.settings.server);
    actix_rt::System::new().block_on(async {
        let signals = ProcessSignals::listen()?;
        let gateway = Gateway::build(loaded, environment, Options { insecure })?;
        log::info!("gatewayz {} listens on http://{}", env!("CARGO_PKG_VERSION"), gateway.address());
        Ok(gateway.run(signals).await?)
    })
}
