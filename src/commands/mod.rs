//! What the commands of the command line do.

pub mod check;
pub mod demo;
pub mod healthcheck;
pub mod keygen;
mod open_files;
pub mod serve;
pub mod simulate;

/// A command's outcome; the error is shown to the user as it is.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;
