//! What every command that talks to a server has in hand.

use super::args::{Format, Options};
use super::error::CliError;
use super::program::Program;
use super::server::{LOCAL, Server};
use crate::api::Name;
use crate::client::{Client, ClientConfig, Patience};
use crate::discovery::INSTALLATION_DEFAULT;

/// The namespace of those who say none, outside of a cluster.
const NAMESPACE_DEFAULT: &str = "default";

/// A client and the wanted form of output.
pub struct Context {
    pub client: Client,
    pub format: Format,
    /// The namespace was given, so a file that names another one is a contradiction.
    pub namespace_given: bool,
    /// The server was found in a cluster.
    pub in_cluster: bool,
    /// What one types to come to the same server.
    typed: String,
    /// The namespace of those who say none.
    namespace_usual: Name,
}

impl Context {
    pub fn new(options: Options, program: Program, server: &Server) -> Result<Self, CliError> {
        let namespace_usual = server.namespace().unwrap_or_else(namespace_default);
        let namespace_given = options.namespace.is_some();
        let config = ClientConfig {
            namespace: options.namespace.unwrap_or_else(|| namespace_usual.clone()),
            server: server.address.clone(),
            token: options.token.filter(|token| !token.is_empty()),
            patience: Patience::default(),
        };
        let context = options.context.map(|context| format!(" --context {context}")).unwrap_or_default();
        Ok(Self {
            client: Client::new(config)?,
            format: options.output,
            namespace_given,
            in_cluster: server.found.is_some(),
            typed: format!("{}{context}", program.words()),
            namespace_usual,
        })
    }

    /// `everloop VERB RUN`, with the namespace when it is not the usual one: for a reader to type.
    pub fn hint(&self, rest: &str) -> String {
        let namespace = self.client.namespace();
        if *namespace == self.namespace_usual { format!("{} {rest}", self.typed) } else { format!("{} -n {namespace} {rest}", self.typed) }
    }
}

impl Options {
    /// The namespace that was given, or the usual one.
    pub fn namespace(&self) -> Name {
        self.namespace.clone().unwrap_or_else(namespace_default)
    }

    /// The server of a role, which never looks for one. It waits for a service that is away; an address that is none would be waited
    /// for in vain.
    pub fn server_of_role(&self) -> Result<String, CliError> {
        let server = self.server.clone().unwrap_or_else(|| LOCAL.to_owned());
        let config = ClientConfig {
            server: server.clone(),
            namespace: self.namespace(),
            token: self.token.clone().filter(|token| !token.is_empty()),
            patience: Patience::default(),
        };
        Client::new(config)?;
        Ok(server)
    }

    /// The namespace of the installation of a role.
    pub fn installation(&self) -> Name {
        self.operator_namespace.clone().unwrap_or_else(|| INSTALLATION_DEFAULT.parse().expect("a legal name"))
    }
}

fn namespace_default() -> Name {
    NAMESPACE_DEFAULT.parse().expect("a legal name")
}
