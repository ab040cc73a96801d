//! Which addresses an activity may reach. Loopback and link-local ones belong to the worker's own machine and to the cloud's
//! metadata service; they are refused unless the worker allows them. Names are judged by what they resolve to, at the
//! connection, so that a second look-up cannot change the answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The address is the worker's own or a neighbour's on the link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} is {address}, a loopback or link-local address: workers reach those only when they are started with --allow-local")]
pub(super) struct LocalAddress {
    /// As it was asked for.
    host: String,
    /// What it is.
    address: IpAddr,
}

/// Loopback, link-local, unspecified, broadcast and multicast, also when mapped into IPv6.
pub(super) fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.octets()[0] == 0 || v4.is_broadcast() || v4.is_multicast(),
        IpAddr::V6(v6) => {
            let [a, b, .., y, z] = v6.segments();
            // 64:ff9b::/96 is IPv4 by way of a translator (RFC 6052).
            let translated = (a, b) == (0x64, 0xff9b);
            let [y, z] = [y.to_be_bytes(), z.to_be_bytes()];
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || (translated && is_local(IpAddr::V4(Ipv4Addr::new(y[0], y[1], z[0], z[1]))))
        }
    }
}

/// Judges a URL whose host is an address; names are judged when they are resolved.
pub(super) fn check(url: &reqwest::Url) -> Result<(), LocalAddress> {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        Ok(address) if is_local(address) => Err(LocalAddress { host: host.to_owned(), address }),
        _ => Ok(()),
    }
}

/// A resolver that leaves out local addresses, and fails when there are no others.
#[derive(Debug)]
pub(super) struct NoLocal;

impl Resolve for NoLocal {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let first = found.first().copied();
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|address| !is_local(address.ip())).collect();
            match first {
                Some(first) if allowed.is_empty() => Err(LocalAddress { host: name.as_str().to_owned(), address: first.ip() }.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// The refusal behind an error of the client, when that is what it was.
pub(super) fn refusal(error: &reqwest::Error) -> Option<LocalAddress> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<LocalAddress>() {
            return Some(refused.clone());
        }
        source = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_known_in_all_their_forms() {
        for local in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.1.1",
            "64:ff9b::7f00:1",
        ] {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for other in ["10.0.0.1", "192.168.1.1", "172.16.0.1", "8.8.8.8", "2001:db8::1", "fd00::1", "64:ff9b::808:808"] {
            assert!(!is_local(other.parse().unwrap()), "{other}");
        }
        assert!(check(&"http://[::1]:80/".parse().unwrap()).is_err());
        assert!(check(&"http://2130706433/".parse().unwrap()).is_err(), "a number is an address too");
        assert!(check(&"http://example.com/".parse().unwrap()).is_ok());
    }
}
