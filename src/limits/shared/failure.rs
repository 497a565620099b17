//! What an error of Redis means: that it is away, or that it cannot do this with what is stored there. Pure.

use redis::RedisError;

/// What went wrong, in words that name neither address nor password.
pub(super) fn words(error: &RedisError) -> String {
    match (error.code(), error.is_timeout(), error.is_connection_refusal()) {
        (Some(code), _, _) => format!("it says {code}"),
        (None, true, _) => "no answer in time".to_owned(),
        (None, _, true) => "connection refused".to_owned(),
        (None, false, false) => error.category().to_owned(),
    }
}

/// Whether Redis is well, but has something stored that the call cannot work with: a value of another type, or a number
/// that has no room for more. The same call would fail again for ever.
pub(super) fn is_of_content(error: &RedisError) -> bool {
    let Some(errors) = error.clone().into_server_errors() else { return false };
    errors.iter().any(|(_, error)| match (error.code(), error.details().unwrap_or_default()) {
        ("WRONGTYPE", _) => true,
        // Of a script; without one, ERR may mean too many clients as well.
        ("ERR", details) => details.contains("script") && !names_trouble(details),
        _ => false,
    })
}

/// Before version 7, an error of a command in a script was an ERR, whatever its own code.
fn names_trouble(details: &str) -> bool {
    const CODES: [&str; 8] =
        ["OOM", "READONLY", "LOADING", "BUSY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN"];
    details.split(|letter: char| !letter.is_ascii_uppercase()).any(|word| CODES.contains(&word))
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    #[test]
    fn content_is_told_from_a_redis_that_cannot_serve() {
        let error = |code: &str, details: &str| make_extension_error(code.to_owned(), Some(details.to_owned()));
        for (code, details, expected) in [
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value", true),
            ("ERR", "increment or decrement would overflow script: 5ff, on @user_script:47.", true),
            ("ERR", "Error running script (call to f_5ff): @user_script:9: WRONGTYPE Operation against a key", true),
            ("ERR", "Error running script (call to f_5ff): @user_script:9: -OOM command not allowed", false),
            ("ERR", "max number of clients reached", false),
            ("OOM", "command not allowed when used memory > 'maxmemory'. script: 5ff, on @user_script:9.", false),
            ("NOAUTH", "Authentication required.", false),
            ("WRONGPASS", "invalid username-password pair", false),
            ("READONLY", "You can't write against a read only replica. script: 5ff", false),
            ("LOADING", "Redis is loading the dataset in memory", false),
            ("BUSY", "Redis is busy running a script. You can only call SCRIPT KILL", false),
        ] {
            assert_eq!(is_of_content(&error(code, details)), expected, "{code} {details}");
        }
        assert!(!is_of_content(&RedisError::from(std::io::Error::other("gone"))));
    }
}
