//! All upstream I/O. One actor for each provider and worker, with its own pool of connections, so that a
//! request never changes its thread; see `actor`.
//!
//! Does not know how a field is mapped, nor actix-web's requests and responses.

mod actor;
pub mod body;
pub mod circuit;
mod client;
mod exchange;
mod places;
mod pool;
pub mod protocol;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use awc::http::Uri;
use rustls::ClientConfig;
use secrecy::SecretString;
use serde_json::{Map, Value};

use self::actor::ProviderActor;
use self::circuit::Circuits;
use self::places::Places;
use self::protocol::{Answer, Ask, Call, Leave};
use crate::catalog::{Catalog, ProviderId, Route};
use crate::config::Settings;
use crate::config::secrets::Secrets;
use crate::error::{Cause, GatewayError};
use crate::metrics::emitter::Emitter;
use crate::metrics::observation::Observation;

/// Everything there is to know about a provider.
pub struct Provider {
    pub id: ProviderId,
    pub name: String,
    pub extra_body: Map<String, Value>,
    /// `{base_url}/chat/completions`
    url: Uri,
    key: Option<SecretString>,
    tls: Arc<ClientConfig>,
    extra_headers: Vec<(String, String)>,
    connect_timeout: Duration,
    first_byte_timeout: Duration,
    idle_timeout: Duration,
    /// For one request with this provider: all attempts, and the answer to its end.
    pub total_timeout: Duration,
    places: Option<Places>,
    /// The largest answer that is not streamed, in bytes.
    max_answer: usize,
}

// Extra headers and fields may hold keys.
impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

/// All providers by [`ProviderId`], shared by all workers; none where the key is missing.
pub type Directory = Arc<[Option<Arc<Provider>>]>;

/// Reads what the settings say of the providers that can be called. Fails when a file of roots cannot be used.
pub fn directory(settings: &Settings, secrets: &Secrets, catalog: &Catalog) -> Result<Directory, String> {
    let provider = |(id, config): (u16, &crate::config::Provider)| {
        let id = ProviderId(id);
        if !catalog.is_usable(id) {
            return Ok(None);
        }
        let tls = client::tls(config.ca_file.as_deref());
        let url = format!("{}/chat/completions", config.base_url.trim_end_matches('/'));
        Ok(Some(Arc::new(Provider {
            id,
            name: config.name.clone(),
            extra_body: config.extra_body.clone(),
            url: Uri::try_from(url).map_err(|problem| format!("providers[{}].base_url: {problem}", id.0))?,
            key: secrets.provider_keys.get(&config.name).cloned(),
            tls: tls.map_err(|problem| format!("providers[{}].ca_file: {problem}", id.0))?,
            extra_headers: config.extra_headers.clone().into_iter().collect(),
            connect_timeout: config.connect_timeout,
            first_byte_timeout: config.first_byte_timeout,
            idle_timeout: config.idle_timeout,
            total_timeout: config.total_timeout,
            places: Places::new(config),
            max_answer: usize::try_from(settings.server.max_body.as_u64()).unwrap_or(usize::MAX),
        })))
    };
    (0u16..).zip(&settings.providers).map(provider).collect()
}

/// The providers of one worker.
pub struct Providers {
    /// By [`ProviderId`].
    slots: Vec<Option<Slot>>,
    circuits: Arc<Circuits>,
    emitter: Emitter,
}

struct Slot {
    provider: Arc<Provider>,
    address: RefCell<Addr<ProviderActor>>,
}

impl Providers {
    /// Starts the actors of the current worker.
    pub fn start(directory: &Directory, circuits: Arc<Circuits>, emitter: &Emitter) -> Providers {
        let slot = |provider: &Option<Arc<Provider>>| {
            let provider = provider.clone()?;
            let address = RefCell::new(ProviderActor::new(provider.clone(), emitter.clone()).start());
            Some(Slot { provider, address })
        };
        Providers { slots: directory.iter().map(slot).collect(), circuits, emitter: emitter.clone() }
    }

    /// Which models are left alone.
    pub fn circuits(&self) -> &Circuits {
        &self.circuits
    }

    fn slot(&self, id: ProviderId) -> Result<&Slot, GatewayError> {
        let slot = self.slots.get(usize::from(id.0)).and_then(Option::as_ref);
        slot.ok_or_else(|| GatewayError::new(Cause::NoRoute, "the provider has no key"))
    }

    /// What is known of a provider that has its key.
    pub fn get(&self, id: ProviderId) -> Result<&Arc<Provider>, GatewayError> {
        self.slot(id).map(|slot| &slot.provider)
    }

    /// Sends a request body to a provider; the answer's head has arrived when this returns. Fails at once when the
    /// circuit is open, and waits its turn where the calls are bounded. Dropping the future closes the connection.
    pub async fn call(&self, route: &Route, ask: Ask) -> Result<Answer, GatewayError> {
        let slot = self.slot(route.provider)?;
        let circuit = self.circuits.of(route);
        // Nobody need wait for a place that must not be used.
        circuit.check()?;
        let place = match &slot.provider.places {
            Some(places) => {
                let begun = Instant::now();
                let place = places.take().await;
                self.emitter.record(Observation::QueueWait { provider: route.provider, waited: begun.elapsed() });
                Some(place?)
            }
            None => None,
        };
        let leave = Leave { pass: circuit.admit()?, place };
        match self.actor(slot).send(Call { ask, leave }).await {
            Ok(answer) => answer.map(|answer| answer.take()),
            Err(_) => Err(GatewayError::new(Cause::Internal, "the gateway failed while it called the provider")),
        }
    }

    fn actor(&self, slot: &Slot) -> Addr<ProviderActor> {
        let address = slot.address.borrow().clone();
        if address.connected() {
            return address;
        }
        // A panic in a handler ends an actor, and a supervisor would not start it again.
        log::error!("the actor of provider {} had died and is started again", slot.provider.name);
        let fresh = ProviderActor::new(slot.provider.clone(), self.emitter.clone()).start();
        slot.address.replace(fresh.clone());
        fresh
    }
}
