//! A mistake in a request, named by its path as Anthropic does.

use crate::error::{Cause, GatewayError};
use crate::wire::anthropic::message::ErrorDetails;

/// A request that cannot be sent to any provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Dotted, for example `messages.2.content.0.tool_result`.
    pub path: String,
    pub problem: String,
    pub details: Option<ErrorDetails>,
}

impl Invalid {
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Invalid { path: path.into(), problem: problem.into(), details: None }
    }
}

impl From<Invalid> for GatewayError {
    fn from(invalid: Invalid) -> Self {
        let mut error = GatewayError::new(Cause::InvalidRequest, format!("{}: {}", invalid.path, invalid.problem));
        error.details = invalid.details;
        error
    }
}
