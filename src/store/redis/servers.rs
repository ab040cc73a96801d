//! Where the servers of a store are: the address as it was typed, with the passwords and certificates beside it, made into clients.
//!
//! One server (`redis://`, `rediss://`, `unix://`), one that Sentinel names (`redis+sentinel://`), or a Redis Cluster
//! (`redis+cluster://`); `rediss` is TLS in each. The whole text of an address is in no error: it may have a password in it.

use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, RedisError, TlsCertificates};

use super::RedisConfig;
use super::sentinel::Sentinels;

const SENTINEL_PORT: u16 = 26_379;
/// A server that went away without a word is noticed after about 25 seconds, also by a subscription, which never asks anything.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const FORMS: &str = "write redis://HOST:6379/0, redis+sentinel://HOST:26379,HOST:26379/NAME, redis+cluster://HOST:6379,HOST:6379 \
    (rediss in place of redis for TLS), or unix:///path";

/// What an address does not say, or should not.
#[derive(Clone, Default)]
pub struct RedisAccess {
    /// Of the servers, when it is not in the address.
    pub password: Option<String>,
    /// Of the Sentinels' user `default`.
    pub sentinel_password: Option<String>,
    /// Certificates in PEM of those who may sign a server's; without them the machine's own list.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key in PEM, for servers that ask for one.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for RedisAccess {
    /// Without what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisAccess").finish_non_exhaustive()
    }
}

/// What all servers of a store share.
#[derive(Clone)]
pub(super) struct Access {
    tls: bool,
    certificates: Option<TlsCertificates>,
    settings: RedisConnectionInfo,
}

impl Access {
    /// A client of one of them. Calls are small and somebody waits for each: none is held back to fill a packet.
    pub fn client(&self, host: &str, port: u16) -> Result<Client, RedisError> {
        let address = if self.tls {
            ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host.to_owned(), port)
        };
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let info = address.into_connection_info()?.set_redis_settings(self.settings.clone()).set_tcp_settings(tcp);
        match &self.certificates {
            Some(certificates) if self.tls => Client::build_with_tls(info, certificates.clone()),
            _ => Client::open(info),
        }
    }
}

/// The servers of a store.
pub(super) enum Servers {
    /// One.
    One(Client),
    /// The one that Sentinel names.
    Sentinel(Sentinels),
    /// Those of a cluster, to be asked for all of them.
    Cluster(Vec<(String, u16)>, Access),
}

impl Servers {
    /// Whether another server may take over, without the last that this one has acknowledged.
    pub fn fail_over(&self) -> bool {
        !matches!(self, Self::One(_))
    }
}

/// Reads an address. The error says what to write.
pub(super) fn servers(config: &RedisConfig) -> Result<Servers, String> {
    let wrong = |why: &str| format!("the address of the store is not one ({why}): {FORMS}");
    let (scheme, rest) = config.url.split_once("://").ok_or_else(|| wrong("it has no ://"))?;
    if rest.contains('#') {
        return Err(wrong("it has a #: in a password that is %23, and nothing switches the check of certificates off"));
    }
    if scheme == "unix" {
        return unix(config).map_err(|e| wrong(&e.to_string()));
    }
    let (plain, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    let tls = match plain {
        "redis" => false,
        "rediss" => true,
        _ => return Err(wrong(&format!("{scheme}:// is not known"))),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let hosts = |port| hosts.split(',').map(|text| host(text, port)).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(&e));
    let access = |database: &str| access(config, tls, user, database, &wrong);
    match kind {
        "" => match hosts(6_379)?.as_slice() {
            [(host, port)] => Ok(Servers::One(access(path)?.client(host, *port).map_err(|e| wrong(&e.to_string()))?)),
            _ => Err(wrong("it has several hosts, and does not say whether they are Sentinels or a cluster")),
        },
        "sentinel" => {
            let (name, database) = path.split_once('/').unwrap_or((path, ""));
            if name.is_empty() {
                return Err(wrong("after the Sentinels the name of the primary is missing"));
            }
            let servers = access(database)?;
            let settings = RedisConnectionInfo::default();
            let settings = match &config.access.sentinel_password {
                Some(password) => settings.set_password(password),
                None => settings,
            };
            let to_sentinels = Access { settings, ..servers.clone() };
            let clients = hosts(SENTINEL_PORT)?.iter().map(|(host, port)| to_sentinels.client(host, *port)).collect::<Result<_, _>>();
            Ok(Servers::Sentinel(Sentinels::new(clients.map_err(|e| wrong(&e.to_string()))?, name.to_owned(), servers)))
        }
        "cluster" if !["", "0"].contains(&path) => Err(wrong("a cluster has the database 0 only")),
        "cluster" => Ok(Servers::Cluster(hosts(6_379)?, access("")?)),
        _ => Err(wrong(&format!("{scheme}:// is not known"))),
    }
}

fn unix(config: &RedisConfig) -> Result<Servers, RedisError> {
    let info = config.url.as_str().into_connection_info()?;
    let settings = match &config.access.password {
        Some(password) => info.redis_settings().clone().set_password(password),
        None => info.redis_settings().clone(),
    };
    Ok(Servers::One(Client::open(info.set_redis_settings(settings))?))
}

/// `HOST[:PORT]`, an IPv6 address in brackets.
fn host(text: &str, port: u16) -> Result<(String, u16), String> {
    let has_port = text.rsplit_once(']').map_or(text, |(_, rest)| rest).contains(':');
    let whole = if has_port { format!("redis://{text}") } else { format!("redis://{text}:{port}") };
    match whole.into_connection_info().map_err(|e| format!("{text:?}: {e}"))?.addr() {
        ConnectionAddr::Tcp(host, port) => Ok((host.clone(), *port)),
        other => Err(format!("{other} is no host")),
    }
}

/// User, password and database of the servers, and the certificates.
fn access(config: &RedisConfig, tls: bool, user: &str, database: &str, wrong: &impl Fn(&str) -> String) -> Result<Access, String> {
    let given = &config.access;
    // The crate knows how these are written in an address; the host is none.
    let info = format!("redis://{user}@host/{database}").into_connection_info().map_err(|e| wrong(&e.to_string()))?;
    let mut settings = info.redis_settings().clone();
    if let Some(password) = &given.password {
        if settings.password().is_some() {
            return Err("the store's password is given twice, in its address and beside it: leave one out".to_owned());
        }
        settings = settings.set_password(password);
    } else if settings.username().is_some() && settings.password().is_none() {
        return Err("the store's address has a user and no password: write USER:PASSWORD@, or give --redis-password-file".to_owned());
    }
    let certificates = (given.ca.is_some() || given.client.is_some()).then(|| TlsCertificates {
        root_cert: given.ca.clone(),
        client_tls: given.client.clone().map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
    });
    if certificates.is_some() && !tls {
        return Err("certificates are given and the store's address is without TLS: write rediss in place of redis".to_owned());
    }
    let has = |pem: &[u8], what: &str| pem.windows(what.len()).any(|part| part == what.as_bytes());
    if given.ca.as_ref().is_some_and(|pem| !has(pem, "-----BEGIN CERTIFICATE-----")) {
        return Err("the file of --redis-ca-file has no certificate in it: it begins with -----BEGIN CERTIFICATE-----".to_owned());
    }
    Ok(Access { tls, certificates, settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, access: RedisAccess) -> Result<Servers, String> {
        servers(&RedisConfig { access, ..RedisConfig::new(url) })
    }

    fn shown(url: &str) -> String {
        match read(url, RedisAccess::default()).unwrap_or_else(|e| panic!("{url}: {e}")) {
            Servers::One(client) => {
                let info = client.get_connection_info();
                format!("{} {:?} {}", info.addr(), info.redis_settings().username(), info.redis_settings().db())
            }
            Servers::Sentinel(sentinels) => sentinels.to_string(),
            Servers::Cluster(hosts, access) => format!("{hosts:?} tls {}", access.tls),
        }
    }

    #[test]
    fn addresses_of_every_kind_are_read() {
        for (url, expected) in [
            ("redis://h", "h:6379 None 0"),
            ("redis://ann:p%40ss@h:1/3", "h:1 Some(\"ann\") 3"),
            ("rediss://:secret@[::1]:7000/0", "::1:7000 None 0"),
            ("redis+sentinel://a,b:7/main/2", "main at a:26379, b:7"),
            ("rediss+sentinel://:p@[::1]/main", "main at ::1:26379 over TLS"),
            ("redis+cluster://a:1,b", "[(\"a\", 1), (\"b\", 6379)] tls false"),
            ("rediss+cluster://u:p@a/", "[(\"a\", 6379)] tls true"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write_and_without_the_password() {
        let password = || RedisAccess { password: Some("x".into()), ..RedisAccess::default() };
        let ca = |text: &str| RedisAccess { ca: Some(text.into()), ..RedisAccess::default() };
        for (url, access, expected) in [
            ("h:6379", RedisAccess::default(), "no ://"),
            ("http://:hunter2@h", RedisAccess::default(), "http:// is not known"),
            ("redis+star://:hunter2@h", RedisAccess::default(), "redis+star:// is not known"),
            ("redis://:hunter2@a,b", RedisAccess::default(), "several hosts"),
            ("redis://:hunter2@h/x", RedisAccess::default(), "database"),
            ("rediss://:hunter2@h/#insecure", RedisAccess::default(), "nothing switches the check of certificates off"),
            ("redis+sentinel://:hunter2@h", RedisAccess::default(), "the name of the primary is missing"),
            ("redis+cluster://:hunter2@h/1", RedisAccess::default(), "the database 0 only"),
            ("redis+cluster://h:99999", RedisAccess::default(), "99999"),
            ("redis://:hunter2@h", password(), "given twice"),
            ("redis://ann@h", RedisAccess::default(), "--redis-password-file"),
            ("redis://h", ca("-----BEGIN CERTIFICATE-----"), "write rediss"),
            ("rediss://h", ca("nothing"), "no certificate in it"),
        ] {
            let Err(said) = read(url, access) else { panic!("{url} is taken") };
            assert!(said.contains(expected) && !said.contains("hunter2"), "{url}: {said}");
        }
    }
}
