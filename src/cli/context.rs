//! What every command that talks to a server has in hand.

use super::args::{Format, Options};
use super::error::CliError;
use crate::api::Name;
use crate::client::{Client, ClientConfig, Patience};

/// The namespace of those who say none.
const NAMESPACE_DEFAULT: &str = "default";

/// A client and the wanted form of output.
pub struct Context {
    pub client: Client,
    pub format: Format,
    /// The namespace was given, so a file that names another one is a contradiction.
    pub namespace_given: bool,
}

impl Context {
    pub fn new(options: Options) -> Result<Self, CliError> {
        let namespace_given = options.namespace.is_some();
        let config = ClientConfig {
            namespace: options.namespace(),
            server: options.server,
            token: options.token.filter(|token| !token.is_empty()),
            patience: Patience::default(),
        };
        Ok(Self { client: Client::new(config)?, format: options.output, namespace_given })
    }

    /// `everloop VERB RUN`, with the namespace when it is not the usual one: for a reader to type.
    pub fn hint(&self, rest: &str) -> String {
        let namespace = self.client.namespace();
        if namespace.as_str() == NAMESPACE_DEFAULT { format!("everloop {rest}") } else { format!("everloop -n {namespace} {rest}") }
    }
}

impl Options {
    /// The namespace that was given, or the usual one.
    pub fn namespace(&self) -> Name {
        self.namespace.clone().unwrap_or_else(|| NAMESPACE_DEFAULT.parse().expect("a legal name"))
    }
}
