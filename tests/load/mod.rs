//! What the runs under load have in common: thousands of clients in one thread, providers that know what every answer
//! must be, and the real gateway in a process of its own.

pub mod ask;
pub mod asked;
pub mod http;
pub mod process;
pub mod providers;
pub mod watch;
