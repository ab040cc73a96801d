//! Named points at which a test kills the process: `EVERLOOP_CRASH_AT=<point>:<n>` ends it by SIGKILL the n-th time (from 1) that it
//! passes the point. Only in builds with debug assertions; in others the points are nothing.

#[cfg(debug_assertions)]
static WANTED: std::sync::LazyLock<Option<(String, u32)>> = std::sync::LazyLock::new(|| {
    let wanted = std::env::var("EVERLOOP_CRASH_AT").ok()?;
    let (point, n) = wanted.rsplit_once(':')?;
    Some((point.to_owned(), n.parse().ok()?))
});

#[cfg(debug_assertions)]
static PASSED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Passes a point; does not return when a test wants the process to die here.
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    if let Some((wanted, n)) = WANTED.as_ref()
        && wanted == name
        && PASSED.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == *n
    {
        // As `kill -9` from outside: no destructor runs, no buffer is flushed.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// Whether a test wants a crash somewhere in this process.
#[must_use]
pub fn is_wanted() -> bool {
    #[cfg(debug_assertions)]
    return WANTED.is_some();
    #[cfg(not(debug_assertions))]
    false
}
