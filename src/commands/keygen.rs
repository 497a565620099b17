//! `gatewayz keygen`

use rand::Rng;
use rand::distr::Alphanumeric;

use super::Outcome;
use crate::auth::hex_digest;

/// Characters of base62 after the prefix: 190 bits.
const LENGTH: usize = 32;

/// Prints a new client key and its SHA-256.
pub fn run() -> Outcome {
    let random: String = rand::rng().sample_iter(Alphanumeric).take(LENGTH).map(char::from).collect();
    let key = format!("gw_live_{random}");
    println!("key:    {key}");
    println!("sha256: {}", hex_digest(&key));
    println!();
    println!("Give the key to the client. Give the gateway either the key, in GATEWAYZ_API_KEYS,");
    println!("or its hash, in auth.key_sha256 of the configuration. It is shown only now.");
    Ok(())
}
