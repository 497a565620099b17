//! `gatewayz keygen`

use rand::Rng;
use rand::distr::Alphanumeric;

use super::Outcome;
use crate::auth::hex_digest;
use crate::config::rules::{NO_NAME, is_name};

/// Characters of base62 after the prefix: 190 bits.
const LENGTH: usize = 32;

/// What can be set besides, for a key that asks for models.
const LIMITS: &str = r#"models = ["*"]
# expires_at = "2027-01-01T00:00:00Z"
# [auth.keys.limits]
# requests_per_minute = 60
# input_tokens_per_minute = 100000
# output_tokens_per_minute = 50000
# concurrent_requests = 10
# usd_per_day = 5.0
# usd_per_month = 100.0"#;

/// Prints a new key, its SHA-256, and the entry that makes it known. Fails when the entry would not be taken.
pub fn run(name: &str, admin: bool) -> Outcome {
    if !is_name(name) {
        return Err(format!("{name:?} {NO_NAME}").into());
    }
    let random: String = rand::rng().sample_iter(Alphanumeric).take(LENGTH).map(char::from).collect();
    let key = format!("gw_live_{random}");
    println!("key:    {key}");
    let digest = hex_digest(&key);
    let role = if admin { "admin" } else { "client" };
    println!("sha256: {digest}");
    println!();
    println!(
        "Give the key to whoever will use it; it is shown only now. Give the gateway this entry, in its file or in the"
    );
    println!("variable GATEWAYZ_CONFIG_TOML:");
    println!();
    println!("[[auth.keys]]\nname = {name:?}\nsha256 = \"{digest}\"\nrole = \"{role}\"");
    if !admin {
        println!("{LIMITS}");
        println!();
        println!("or, for a key without a name and limits, the key itself in GATEWAYZ_API_KEYS.");
    }
    Ok(())
}
