//! Chat completions, as OpenAI defines them and as the compatible servers vary them.

pub mod completion;
pub mod request;
