//! What an error of a server or of a connection means for the caller, and what to change.

use redis::{Client, ConnectionAddr, ErrorKind, RedisError};

use crate::store::port::StoreError;

const OVER_TLS: &str = " over TLS";

/// What an error of the server or of the connection means for the caller.
pub(super) fn store_error(operation: &'static str, error: &RedisError) -> StoreError {
    let detail = error.to_string();
    match error.code() {
        Some("WRONGTYPE") => StoreError::Damaged { operation, detail },
        Some("ERR") if !detail.contains("No space") => StoreError::Damaged { operation, detail },
        Some("OOM" | "MISCONF" | "ERR") => StoreError::Full { operation, detail },
        Some("NOPERM") => StoreError::Unfit(vec![format!(
            "the server forbids to {operation} ({detail}): give the user `~{{e*`, `&everloop:*` and `+@all -@dangerous +info +config|get`"
        )]),
        Some("NOAUTH" | "WRONGPASS") => connect_error(operation, "the server", error),
        _ => StoreError::Unavailable { operation, detail },
    }
}

/// A server, for errors.
pub(super) fn named(client: &Client) -> String {
    let address = client.get_connection_info().addr();
    let tls = if matches!(address, ConnectionAddr::TcpTls { .. }) { OVER_TLS } else { "" };
    format!("{address}{tls}")
}

/// What it means when there is no connection: what is refused for good is unfit, with what to change. `server` is named in it.
pub(super) fn connect_error(operation: &'static str, server: &str, error: &RedisError) -> StoreError {
    let said = error.to_string();
    let unfit = |line: String| StoreError::Unfit(vec![line]);
    if error.kind() == ErrorKind::AuthenticationFailed || matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) {
        let how = if server.starts_with("Sentinel") {
            "give the right one by --redis-sentinel-password-file (EVERLOOP_REDIS_SENTINEL_PASSWORD_FILE)"
        } else {
            "give the right ones in the address, as USER:PASSWORD@HOST, or the password by --redis-password-file (EVERLOOP_REDIS_PASSWORD_FILE)"
        };
        return unfit(format!("{server} refuses the user or the password, or wants one ({said}): {how}"));
    }
    if let Some((_, why)) = said.split_once("invalid peer certificate: ") {
        let next = match why {
            _ if why.contains("UnknownIssuer") || why.contains("BadSignature") => {
                "give the file of the CA that signed it by --redis-ca-file (EVERLOOP_REDIS_CA_FILE)"
            }
            _ if why.contains("not valid for name") || why.contains("NotValidForName") => {
                "use an address that stands in the certificate, or give the server a certificate with this one"
            }
            _ => "give the server one that is valid",
        };
        return unfit(format!("the certificate of {server} is not accepted ({why}): {next}"));
    }
    if ["CertificateRequired", "BadCertificate", "UnknownCA"].iter().any(|alert| said.contains(alert)) {
        return unfit(format!(
            "{server} does not accept our certificate, or wants one ({said}): give it by --redis-cert-file and --redis-key-file"
        ));
    }
    if said.contains("InvalidContentType") || said.contains("corrupt message") {
        return unfit(format!("{server} does not speak TLS ({said}): give its port of TLS, or write redis in place of rediss"));
    }
    if error.code().is_some() {
        return store_error(operation, error);
    }
    // A server without TLS waits for more, and one with it ends a connection that is without.
    let perhaps = match (error.is_timeout(), server.ends_with(OVER_TLS)) {
        (true, true) => "; does it speak TLS on this port?",
        (false, false) if error.is_connection_dropped() => "; does it want TLS, as rediss://?",
        _ => "",
    };
    StoreError::Unavailable { operation, detail: format!("{server}: {said}{perhaps}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_without_room_says_is_full_and_changed_nothing() {
        let says = |line: &str| {
            let error = redis::parse_redis_value(line.as_bytes()).unwrap().extract_error().unwrap_err();
            store_error("start a run", &error)
        };
        for line in [
            "-MISCONF Errors writing to the AOF file: No space left on device\r\n",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "-ERR Error writing to the AOF: No space left on device\r\n",
        ] {
            assert!(matches!(says(line), StoreError::Full { .. }), "{line}: {:?}", says(line));
        }
        for line in [
            "-LOADING Redis is loading the dataset in memory\r\n",
            "-NOREPLICAS Not enough good replicas to write.\r\n",
            "-READONLY You can't write against a read only replica.\r\n",
            "-CLUSTERDOWN The cluster is down\r\n",
            "-ASK 7 127.0.0.1:1\r\n",
        ] {
            assert!(matches!(says(line), StoreError::Unavailable { .. }), "{line}: {:?}", says(line));
        }
        assert!(matches!(says("-WRONGTYPE Operation against a key\r\n"), StoreError::Damaged { .. }));
        assert!(matches!(says("-NOPERM this user has no permissions\r\n"), StoreError::Unfit(_)));
        assert!(matches!(says("-NOAUTH Authentication required.\r\n"), StoreError::Unfit(_)));
    }
}
