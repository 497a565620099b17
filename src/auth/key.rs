//! What is known of a key, once it has been found.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::catalog::takes;
use crate::config::{KeyLimits, NamedKey, Role};
use crate::error::{Cause, GatewayError};
use crate::limits::meter::{Meter, Meters};

/// Stands for all keys without a name. No key may be called so.
pub const UNNAMED: &str = "(unnamed)";

/// See the module.
pub struct Key {
    /// [`UNNAMED`] for plain keys.
    pub name: String,
    pub(super) role: Role,
    models: Vec<String>,
    disabled: bool,
    expires_at: Option<SystemTime>,
    pub meter: Arc<Meter>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl Key {
    pub(super) fn unnamed(meters: &Meters) -> Key {
        Key {
            name: UNNAMED.to_owned(),
            role: Role::Client,
            models: vec!["*".to_owned()],
            disabled: false,
            expires_at: None,
            meter: meters.configure(UNNAMED, KeyLimits::default()),
        }
    }

    pub(super) fn named(key: &NamedKey, meters: &Meters) -> Key {
        Key {
            name: key.name.clone(),
            role: key.role,
            models: key.models.clone(),
            disabled: key.disabled,
            // What cannot be read has been refused with the settings.
            expires_at: key.expires_at.as_ref().and_then(|at| humantime::parse_rfc3339(at).ok()),
            meter: meters.configure(&key.name, key.limits),
        }
    }

    /// Fails for a key that opens nothing any more.
    pub(super) fn check(&self, now: SystemTime) -> Result<(), GatewayError> {
        let refused = |message: &str| Err(GatewayError::new(Cause::Unauthenticated, message));
        match self.expires_at {
            _ if self.disabled => refused("this key is disabled"),
            Some(at) if at <= now => refused("this key has expired"),
            _ => Ok(()),
        }
    }

    /// Whether it may ask for this model.
    pub fn may_use(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| takes(pattern, model))
    }
}
