//! Keys and models that change while the gateway runs: on SIGHUP, or when the file of the configuration has changed.
//! Variables are those of the start: what `GATEWAYZ_CONFIG_TOML` sets, and over the file, stays until the next one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Options;
use super::guard::{no_keys, report};
use crate::auth::KeyRing;
use crate::catalog::Catalog;
use crate::config::Settings;
use crate::config::file::{ConfigFile, FileState};
use crate::config::load::{Loaded, load};
use crate::config::secrets::Environment;
use crate::metrics::actor::{Metrics, Reloaded};

/// How often the file is looked at. Asking for its state works where notices of changes do not: with mounted files that
/// are replaced as a whole.
const INTERVAL: Duration = Duration::from_millis(500);

/// What is read again, and where it goes.
pub(super) struct Reload {
    pub(super) file: Option<ConfigFile>,
    pub(super) hangups: Option<Signal>,
    pub(super) environment: Environment,
    pub(super) options: Options,
    /// As of the start.
    pub(super) running: Settings,
    pub(super) catalog: Arc<Catalog>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) metrics: Addr<Metrics>,
}

impl Reload {
    /// Reloads whenever there is a reason to.
    pub(super) async fn watch(mut self) -> Infallible {
        let mut read = self.file.as_ref().and_then(|file| file.state);
        let mut seen = read;
        loop {
            let asked = tokio::select! {
                () = next(&mut self.hangups) => true,
                () = tokio::time::sleep(INTERVAL) => false,
            };
            let now = self.file.as_ref().and_then(|file| FileState::of(&file.path));
            // A file that is being written is left until it has settled.
            let has_changed = now.is_some() && now != read && now == seen;
            seen = now;
            if asked || has_changed {
                read = now;
                self.reload();
            }
        }
    }

    fn reload(&self) {
        let path = self.file.as_ref().map(|file| file.path.as_path());
        let Loaded { settings, secrets, .. } = match load(path, &self.environment) {
            Ok(loaded) => loaded,
            Err(mistakes) => return log::error!("nothing was reloaded: {mistakes}"),
        };
        if let Some(provider) = self.unknown_provider(&settings) {
            return log::error!(
                "nothing was reloaded: models have routes to {provider}, which this process does not know; start it anew"
            );
        }
        let without = no_keys(&settings, &secrets);
        if without && !self.options.insecure {
            log::warn!("no client key is left: every request is refused");
        }
        self.keys.replace(&secrets.client_keys, &settings.auth, without && self.options.insecure);
        self.catalog.replace_models(&settings.models);
        self.metrics.do_send(Reloaded);
        log::info!("reloaded: {} models, {} named keys", settings.models.len(), settings.auth.keys.len());
        let stale = self.needs_restart(&settings);
        if !stale.is_empty() {
            log::warn!("changes of {} take effect at the next start", stale.join(", "));
        }
        let in_force = Settings { auth: settings.auth, models: settings.models, ..self.running.clone() };
        report(&in_force, &self.catalog);
    }

    fn unknown_provider(&self, settings: &Settings) -> Option<String> {
        let mut routes = settings.models.iter().flat_map(|model| &model.routes);
        let unknown = routes.find(|route| !self.catalog.providers().any(|known| known == route.provider));
        unknown.map(|route| route.provider.clone())
    }

    /// Sections that differ from what is running and cannot be replaced.
    fn needs_restart(&self, settings: &Settings) -> Vec<String> {
        let sections = |settings: &Settings| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(sections)) => sections,
            _ => Default::default(),
        };
        let (running, fresh) = (sections(&self.running), sections(settings));
        let differs = |name: &&String| running.get(*name) != fresh.get(*name);
        let fixed = fresh.keys().filter(|name| !matches!(name.as_str(), "auth" | "models"));
        fixed.filter(differs).cloned().collect()
    }
}

/// Takes SIGHUP over. To be called before anybody can know that the process is there: until then SIGHUP ends it.
pub(super) fn hangups() -> Option<Signal> {
    let unheard = |error: &std::io::Error| {
        log::warn!("SIGHUP cannot be listened to ({error}); the file is watched all the same");
    };
    signal(SignalKind::hangup()).inspect_err(unheard).ok()
}

async fn next(signals: &mut Option<Signal>) {
    if let Some(signals) = signals
        && signals.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}
