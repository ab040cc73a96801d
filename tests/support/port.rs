//! A port for a process that cannot be handed a socket.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port of 127.0.0.1 that nothing listens on, each time another one. It lies below those that the system gives to connections and
/// to listeners without a wish (from 32,768 on, Linux `ip_local_port_range`), so none of them takes it before the process does;
/// Temporal, too, wants one below, for it keeps its own in 16 bits with a sign.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two programs at once begin elsewhere.
    let begin = u16::try_from(std::process::id() % 97).expect("below 97") * 120;
    for _ in 0..COUNT {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}
