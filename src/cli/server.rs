//! Which server a command asks: the one that is given, or one of this machine, or that of the cluster.

use std::time::Duration;

use super::args::Options;
use super::error::{CliError, Exit, RoleCode};
use super::program::Program;
use crate::api::Name;
use crate::client::{self, ClientError};
use crate::discovery::{self, Forward, LABELS, Wanted};

/// Where `everloop dev` and `everloop queue` listen when nobody says otherwise.
pub const LOCAL: &str = "http://127.0.0.1:7400";
/// What listens on this machine answers in milliseconds; what does not is no queue service, or a hanging one.
const LOCAL_ANSWER_MAX: Duration = Duration::from_secs(1);

/// See the module.
pub struct Server {
    pub address: String,
    /// In a cluster.
    pub found: Option<Forward>,
}

impl Server {
    /// Of a command that asks one.
    pub async fn find(options: &Options, program: Program) -> Result<Self, CliError> {
        if let Some(server) = &options.server {
            return match &options.context {
                None => Ok(Self { address: server.clone(), found: None }),
                Some(context) => Err(CliError::input(
                    format!("--context {context} says to look for a server, and EVERLOOP_SERVER (or --server) says {server}"),
                    "leave one of them out; `env -u EVERLOOP_SERVER everloop ...` unsets a variable",
                )),
            };
        }
        // Whoever names a context, or kubectl, means a cluster.
        let local = program == Program::Everloop && options.context.is_none();
        if local && client::answers(LOCAL, LOCAL_ANSWER_MAX).await {
            return Ok(Self { address: LOCAL.to_owned(), found: None });
        }
        let wanted = Wanted { context: options.context.clone(), installation: options.operator_namespace.clone() };
        let found = discovery::find(wanted).await.map_err(|error| told(&error, local))?;
        Ok(Self { address: format!("http://{}", found.address()), found: Some(found) })
    }

    /// The namespace of those who say none.
    pub fn namespace(&self) -> Option<Name> {
        self.found.as_ref().map(|found| found.namespace().clone())
    }

    /// An address that only we know says nothing to a person: the Service does.
    pub fn explain(&self, error: CliError) -> CliError {
        match (&self.found, error) {
            (Some(found), CliError::Client(ClientError::Unreachable { detail, .. } | ClientError::Protocol { detail, .. })) => {
                told(&found.not_ready(&detail), false)
            }
            (_, error) => error,
        }
    }
}

/// `local`: this machine was looked at before.
fn told(error: &discovery::Error, local: bool) -> CliError {
    use discovery::Error as E;
    let looked = if local { format!("no server is given, nothing answers at {LOCAL}, and ") } else { String::new() };
    let what = format!("{looked}{error}");
    let server = |code, next: String| CliError::Role { code, what: what.clone(), next, exit: Exit::Server };
    match error {
        E::NoCluster(_) | E::NotInstalled { .. } => server(RoleCode::ServerNotFound, three_ways()),
        E::Kubeconfig(_) => CliError::input(what, "`kubectl config get-contexts` shows what is there; or give the server with --server URL"),
        E::Unreachable { .. } => server(
            RoleCode::ClusterUnreachable,
            "`kubectl cluster-info` says more; --context NAME takes another cluster, --server URL none, and `everloop dev` starts a server here".to_owned(),
        ),
        E::Unknown { .. } => server(RoleCode::ClusterRefused, "log in to the cluster anew; `kubectl auth whoami` says whether that helped".to_owned()),
        E::Refused { right, .. } => {
            let place = right.namespace.as_ref().map_or_else(|| "--all-namespaces".to_owned(), |namespace| format!("-n {namespace}"));
            let (resource, verb) = (right.resource, right.verbs.join(", "));
            server(
                RoleCode::ClusterRefused,
                format!(
                    "have somebody give you the right ({verb} {resource}); `kubectl auth can-i --list {place}` shows those that you have;\n       \
                     or give the namespace of Everloop with --operator-namespace NAME, or a server with --server URL"
                ),
            )
        }
        E::Several { .. } => server(RoleCode::ServerNotFound, "say which: --operator-namespace NAME".to_owned()),
        E::NotReady { namespace, .. } => {
            server(RoleCode::ServerUnreachable, format!("`kubectl -n {namespace} get pods -l {LABELS}` shows its pods"))
        }
    }
}

fn three_ways() -> String {
    "`everloop dev -f FILE` starts one here;\n       \
     or EVERLOOP_SERVER=URL (or --server URL) names one that runs;\n       \
     or `helm install everloop charts/everloop -n everloop --create-namespace` puts one into the cluster of KUBECONFIG"
        .to_owned()
}
