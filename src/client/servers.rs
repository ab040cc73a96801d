//! The addresses of a service's replicas: one is used until it does not answer, then the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Url;
use url::Host;

/// See the module. Clones move on together.
#[derive(Debug, Clone)]
pub struct Servers {
    all: Arc<[String]>,
    used: Arc<AtomicUsize>,
}

impl Servers {
    /// Reads `http://host:port`, or several of them with commas between. The error completes "the server address ... cannot be
    /// used:".
    ///
    /// # Errors
    /// When one of them is no HTTP address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let all: Vec<_> = text.split(',').map(|address| address.trim().trim_end_matches('/').to_owned()).collect();
        for address in &all {
            let url = Url::parse(address).map_err(|e| format!("{e}; write it as http://host:port"))?;
            if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
                return Err("write it as http://host:port".to_owned());
            }
        }
        Ok(Self { all: all.into(), used: Arc::default() })
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// All of them, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(String::as_str)
    }

    /// All of them are of this machine: no proxy leads there.
    #[must_use]
    pub fn are_local(&self) -> bool {
        let is_local = |address: &str| match Url::parse(address).ok().as_ref().and_then(Url::host) {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        self.iter().all(is_local)
    }

    /// The one to ask now, and its place.
    #[must_use]
    pub fn current(&self) -> (usize, &str) {
        let at = self.used.load(Ordering::Relaxed);
        (at, &self.all[at])
    }

    /// The one at this place did not answer. Of several callers that say so, the first moves on.
    pub fn failed(&self, at: usize) {
        let next = (at + 1) % self.all.len();
        let _ = self.used.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_is_used_when_one_fails_and_many_failures_of_one_count_once() {
        let servers = Servers::parse("http://a:1/, http://b:2").unwrap();
        assert_eq!(servers.iter().collect::<Vec<_>>(), ["http://a:1", "http://b:2"]);
        assert_eq!(servers.current(), (0, "http://a:1"));
        servers.failed(0);
        servers.clone().failed(0);
        assert_eq!(servers.current(), (1, "http://b:2"));
        servers.failed(1);
        assert_eq!(servers.current(), (0, "http://a:1"));
    }

    #[test]
    fn a_machine_s_own_addresses_are_known() {
        for (text, local) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1,http://localhost:2", true),
            ("http://127.0.0.1:1,http://10.0.0.1:1", false),
            ("http://127.0.0.1.example:1", false),
        ] {
            assert_eq!(Servers::parse(text).unwrap().are_local(), local, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "a:1", "ftp://a", "http://a:1,", "http://a:1,b"] {
            assert!(Servers::parse(text).is_err(), "{text}");
        }
    }
}
