//! Named points at which a test kills the process: `EVERLOOP_CRASH_AT=<point>:<n>` ends it by SIGKILL the n-th time (from 1) that it
//! passes the point, or, with `EVERLOOP_CRASH_VICTIM=<process id>`, that process instead: the store's server. Only in builds with debug assertions; in others the points are nothing.

/// Operations of the store that change something; the queue service may die before and after each: `<operation>.before`,
/// `<operation>.after`.
pub const OPERATIONS: [&str; 19] = [
    "define",
    "retire",
    "start",
    "deliver",
    "control",
    "open_session",
    "renew_session",
    "end_session",
    "claim",
    "commit",
    "finish",
    "settle",
    "chain",
    "release",
    "extend",
    "fire",
    "sweep",
    "receive",
    "sent",
];

/// Points around the commit of a transaction of the embedded store.
pub const TRANSACTION: [&str; 2] = ["transaction.before", "transaction.after"];

/// Points of the worker, in the order of a run's step.
pub const WORKER: [&str; 7] = [
    "worker.granted",
    "worker.turned",
    "worker.steps-done",
    "worker.before-commit",
    "worker.committed",
    "worker.activity-begins",
    "worker.activity-ended",
];

#[cfg(debug_assertions)]
static WANTED: std::sync::LazyLock<Option<(String, u32)>> = std::sync::LazyLock::new(|| {
    let wanted = std::env::var("EVERLOOP_CRASH_AT").ok()?;
    let (point, n) = wanted.rsplit_once(':')?;
    Some((point.to_owned(), n.parse().ok()?))
});

#[cfg(debug_assertions)]
static POISON: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("EVERLOOP_CRASH_TURN_OF").ok());

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
        let victim = std::env::var("EVERLOOP_CRASH_VICTIM").ok().and_then(|pid| pid.parse().ok());
        let victim = victim.and_then(rustix::process::Pid::from_raw).unwrap_or_else(rustix::process::getpid);
        let _ = rustix::process::kill_process(victim, rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// A turn of a run begins here: does not return when a test wants each turn of it to kill its process
/// (`EVERLOOP_CRASH_TURN_OF=<run id>`).
pub fn turn_of(run: &str) {
    #[cfg(debug_assertions)]
    if POISON.as_deref() == Some(run) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = run;
}

/// A source is read here: does not return when a test wants the reader of such a source to die (`EVERLOOP_CRASH_READING=<part of it>`),
/// to go round for ever (where "spins" follows that part) or to ask for more memory than any reader needs ("allocates").
pub fn reading(source: &str) {
    #[cfg(debug_assertions)]
    if let Ok(part) = std::env::var("EVERLOOP_CRASH_READING")
        && let Some((_, how)) = source.split_once(&part)
    {
        if how.starts_with(" spins") {
            loop {
                std::hint::spin_loop();
            }
        } else if how.starts_with(" allocates") {
            drop(std::hint::black_box(vec![1_u8; 512 << 20]));
        } else {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = source;
}

/// Whether a test wants a crash somewhere in this process.
#[must_use]
pub fn is_wanted() -> bool {
    #[cfg(debug_assertions)]
    return WANTED.is_some();
    #[cfg(not(debug_assertions))]
    false
}
