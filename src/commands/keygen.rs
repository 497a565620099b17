//! `gatewayz keygen`

use rand::Rng;
use rand::distr::Alphanumeric;

use super::Outcome;
use crate::auth::hex_digest;

/// Characters of base62 after the prefix: 190 bits.
const LENGTH: usize = 32;

/// Prints a new key, its SHA-256, and the entry that makes it known.
pub fn run(name: &str, admin: bool) -> Outcome {
    let random: String = rand::rng().sample_iter(Alphanumeric).take(LENGTH).map(char::from).collect();
    let key = format!("gw_live_{random}");
    println!("key:    {key}");
    let digest = hex_digest(&key);
    let role = if admin { "admin" } else { "client" };
    println!("sha256: {digest}");
    println!();
    println!("Give the key to whoever will use it; it is shown only now. Give the gateway this entry:");
    println!();
    println!("[[auth.keys]]\nname = {name:?}\nsha256 = \"{digest}\"\nrole = \"{role}\"");
    if !admin {
        println!("models = [\"*\"]\n# [auth.keys.limits]\n# requests_per_minute = 60\n# usd_per_day = 5.0");
        println!();
        println!("or, for a key without a name and limits, the key itself in GATEWAYZ_API_KEYS.");
    }
    Ok(())
}
