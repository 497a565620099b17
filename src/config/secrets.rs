//! What must never be shown: taken from the environment, wrapped so that no `Debug` or log prints it.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};

use super::{Backend, Provider, Settings};

/// The variables of the process, or of a test.
pub type Environment = HashMap<String, String>;

/// Keys of clients, of providers and of the gateway itself.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Plain client keys, from `GATEWAYZ_API_KEYS`.
    pub client_keys: Vec<SecretString>,
    /// The bearer token of `/metrics`, from `METRICS_TOKEN`.
    pub metrics_token: Option<SecretString>,
    /// For the signatures of thinking blocks, from `GATEWAYZ_SIGNATURE_KEY`.
    pub signature_key: Option<SecretString>,
    /// Where Redis is, from `REDIS_URL` or else the settings; none unless limits are kept there.
    pub redis_url: Option<SecretString>,
    /// By the provider's name.
    pub provider_keys: HashMap<String, SecretString>,
}

impl Secrets {
    /// Reads what the settings ask for. Empty variables are as good as absent.
    pub fn read(settings: &Settings, environment: &Environment) -> Secrets {
        let get = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let listed = get("GATEWAYZ_API_KEYS").into_iter().flat_map(|keys| keys.split(','));
        let provider_keys = settings.providers.iter().filter_map(|provider| {
            let key = get(provider.api_key_env.as_deref()?)?;
            Some((provider.name.clone(), SecretString::from(key)))
        });
        let redis_url = get("REDIS_URL").or(settings.limits.redis_url.as_deref());
        Secrets {
            redis_url: redis_url.filter(|_| settings.limits.backend == Backend::Redis).map(SecretString::from),
            client_keys: listed.map(str::trim).filter(|key| !key.is_empty()).map(SecretString::from).collect(),
            metrics_token: get("METRICS_TOKEN").map(SecretString::from),
            signature_key: get("GATEWAYZ_SIGNATURE_KEY").map(SecretString::from),
            provider_keys: provider_keys.collect(),
        }
    }

    /// What cannot be used, as variable and problem: what no HTTP header can carry would be left out, or could never
    /// match. The values are not repeated.
    pub(super) fn mistakes(&self, settings: &Settings) -> Vec<(String, String)> {
        let variable = |provider: &Provider| provider.api_key_env.clone().unwrap_or_default();
        let of_providers = settings
            .providers
            .iter()
            .filter_map(|provider| self.provider_keys.get(&provider.name).map(|key| (variable(provider), key)));
        let of_clients = self.client_keys.iter().map(|key| ("GATEWAYZ_API_KEYS".to_owned(), key));
        let of_metrics = self.metrics_token.iter().map(|token| ("METRICS_TOKEN".to_owned(), token));
        let fits = |text: &str| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let mut found: Vec<(String, String)> = of_providers
            .chain(of_clients)
            .chain(of_metrics)
            .filter(|(_, secret)| !fits(secret.expose_secret()))
            .map(|(name, _)| (name, "holds a line break or another character that no HTTP header may hold".to_owned()))
            .collect();
        found.dedup();
        let is_redis =
            |url: &SecretString| redis::IntoConnectionInfo::into_connection_info(url.expose_secret()).is_ok();
        match &self.redis_url {
            None if settings.limits.backend == Backend::Redis => found.push((
                "REDIS_URL".to_owned(),
                "is not set, and limits.backend = \"redis\" needs it: redis://:password@host:6379/0".to_owned(),
            )),
            Some(url) if !is_redis(url) => {
                found.push(("REDIS_URL".to_owned(), "is no redis:// or rediss:// URL".to_owned()));
            }
            _ => {}
        }
        found
    }

    /// What a secret looks like to its owner: enough to tell two apart, useless to anybody else.
    pub fn masked(secret: &SecretString) -> String {
        let text = secret.expose_secret();
        let shown: String = if text.chars().count() >= 16 { text.chars().take(4).collect() } else { String::new() };
        format!("{shown}… ({} characters)", text.chars().count())
    }
}
