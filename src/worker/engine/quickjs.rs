//! The engine: it keeps runs in memory between their turns, and runtimes that hold them.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::api::run::Blocked;
use crate::api::{Head, RunError, Uid, Version};

use super::budget::TURN_LIMIT_EXCEEDED;
use super::errors::Stop;
use super::host::{Host, LiveRun, Taken};
use super::seam::{Engine, EngineLimits, TurnInput, TurnOutcome};
use super::source::Hooks;

/// The engine as journals record it: QuickJS-ng, as `rquickjs` bundles it. A test compares it with the one that is linked.
pub const ENGINE_NAME: &str = "quickjs-ng 0.16.2";

/// Numbered behaviours of the shim that a run begun now has. A change of behaviour that a replay could notice gets a number.
pub const FLAGS: &[u32] = &[];

/// A runtime larger than this gets no new runs: collecting its cycles would hold a turn for too long, and a run that breaks a
/// limit takes all of its neighbours out of memory.
const HOST_BYTES: usize = 64 << 20;
/// Versions with a strike that are remembered.
const STRIKES_MAX: usize = 1024;

type HostId = u64;

struct Cached {
    host: HostId,
    head: Head,
    run: LiveRun,
    used: u64,
}

/// QuickJS behind the seam. It belongs to one thread, whose stack must exceed [`EngineLimits::run_stack_bytes`] by 1 MiB.
pub struct QuickJsEngine {
    // Runs go before the runtimes that they live in.
    runs: HashMap<Uid, Box<Cached>>, // boxed, because a table has room for twice as many
    by_use: BTreeMap<u64, Uid>,
    hosts: HashMap<HostId, Host>,
    /// The runtime that new runs go to.
    open: Option<HostId>,
    /// Versions that went over a limit, and the runtime of each.
    own: HashMap<Version, HostId>,
    strikes: HashSet<Version>,
    limits: EngineLimits,
    hooks: Hooks,
    bytes: usize,
    uses: u64,
    next_host: HostId,
}

impl Cached {
    /// Whether the turn, or what is left of its replay, can go on from here.
    fn stands_at(&self, input: &TurnInput) -> bool {
        if self.run.version() != Some(&input.version) {
            return false;
        }
        match self.run.replayed {
            None => self.head == input.base,
            Some(taken) => {
                let goes_on = input.journal.as_ref().is_some_and(|journal| taken < journal.len());
                goes_on && self.head == replayed_head(input, taken)
            }
        }
    }
}

/// The head after so many turns of the journal.
fn replayed_head(input: &TurnInput, taken: usize) -> Head {
    let entry = taken.checked_sub(1).and_then(|last| input.journal.as_ref()?.get(last));
    entry.map_or(input.base, |entry| entry.id)
}

impl QuickJsEngine {
    /// An engine with nothing in memory.
    #[must_use]
    pub fn new(limits: EngineLimits) -> Self {
        Self::with_hooks(limits, Hooks::default())
    }

    /// The same with other decisions about sources.
    #[must_use]
    pub fn with_hooks(limits: EngineLimits, hooks: Hooks) -> Self {
        Self {
            runs: HashMap::new(),
            by_use: BTreeMap::new(),
            hosts: HashMap::new(),
            open: None,
            own: HashMap::new(),
            strikes: HashSet::new(),
            limits,
            hooks,
            bytes: 0,
            uses: 0,
            next_host: 0,
        }
    }

    fn take(&mut self, uid: &Uid) -> Option<Cached> {
        let cached = *self.runs.remove(uid)?;
        self.by_use.remove(&cached.used);
        self.bytes -= cached.run.bytes;
        Some(cached)
    }

    fn keep(&mut self, uid: Uid, host: HostId, head: Head, run: LiveRun) {
        self.uses += 1;
        self.bytes += run.bytes;
        self.by_use.insert(self.uses, uid.clone());
        self.runs.insert(uid, Box::new(Cached { host, head, run, used: self.uses }));
        while self.bytes > self.limits.cache_bytes && self.runs.len() > 1 {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            let oldest = oldest.clone();
            self.take(&oldest);
        }
    }

    fn host_for(&mut self, version: &Version) -> rquickjs::Result<HostId> {
        let striking = self.strikes.contains(version);
        let known = if striking { self.own.get(version).copied() } else { self.open };
        if let Some(id) = known
            && let Some(host) = self.hosts.get(&id)
        {
            if host.live_bytes() <= HOST_BYTES {
                return Ok(id);
            }
            host.collect();
            if host.live_bytes() <= HOST_BYTES {
                return Ok(id);
            }
        }
        self.drop_empty_hosts();
        self.next_host += 1;
        let id = self.next_host;
        self.hosts.insert(id, Host::new(&self.limits, self.hooks)?);
        if striking {
            self.own.insert(version.clone(), id);
        } else {
            self.open = Some(id);
        }
        Ok(id)
    }

    fn drop_empty_hosts(&mut self) {
        let used: HashSet<HostId> = self.runs.values().map(|cached| cached.host).collect();
        self.hosts.retain(|id, _| used.contains(id));
        self.own.retain(|_, id| used.contains(id));
    }

    /// Throws a runtime away with all runs in it; they are replayed at their next event.
    fn discard(&mut self, id: HostId) {
        let lost: Vec<Uid> = self.runs.iter().filter(|(_, cached)| cached.host == id).map(|(uid, _)| uid.clone()).collect();
        for uid in lost {
            if let Some(cached) = self.take(&uid) {
                cached.run.abandon();
            }
        }
        self.own.retain(|_, own| *own != id);
        if self.open == Some(id) {
            self.open = None;
        }
        if let Some(host) = self.hosts.remove(&id) {
            host.discard();
        }
    }

    /// Bytes of all runtimes.
    #[cfg(test)]
    pub fn heap_bytes(&self) -> usize {
        self.hosts.values().map(Host::live_bytes).sum()
    }

    fn strike(&mut self, version: Version) {
        if self.strikes.len() >= STRIKES_MAX {
            self.strikes.clear();
        }
        self.strikes.insert(version);
    }
}

impl Engine for QuickJsEngine {
    fn turn(&mut self, input: TurnInput) -> TurnOutcome {
        let cached = self.take(&input.uid).filter(|cached| cached.stands_at(&input));
        if cached.is_none() && input.journal.is_none() && input.number > 0 {
            return TurnOutcome::NotCached;
        }
        let (id, run) = match cached {
            Some(cached) => (cached.host, Some(cached.run)),
            None => match self.host_for(&input.version) {
                Ok(id) => (id, None),
                Err(error) => {
                    return TurnOutcome::LimitExceeded(RunError::new(TURN_LIMIT_EXCEEDED, format!("failed to make a runtime: {error}")));
                }
            },
        };
        let Some(host) = self.hosts.get_mut(&id) else { return TurnOutcome::NotCached };
        let taken = host.take_turn(run, &input);
        let poisoned = host.poisoned;
        let outcome = match taken {
            Ok(Taken { run, output, closed }) => {
                let head = match run.replayed {
                    None => input.turn,
                    Some(taken) => replayed_head(&input, taken),
                };
                if poisoned {
                    run.abandon();
                } else if !closed {
                    self.keep(input.uid, id, head, run);
                }
                output.map_or(TurnOutcome::Yielded, TurnOutcome::Done)
            }
            Err(Stop::Breach(breach)) => {
                self.discard(id);
                self.strike(input.version);
                return TurnOutcome::LimitExceeded(breach.to_error(&self.limits));
            }
            Err(Stop::ReplayBreach(breach)) => {
                self.discard(id);
                self.strike(input.version);
                return TurnOutcome::ReplayLimitExceeded(breach.to_error(&self.limits));
            }
            Err(Stop::Blocked(blocked)) => TurnOutcome::Blocked(blocked),
            Err(Stop::Mismatch(message)) => {
                TurnOutcome::Blocked(Blocked { reason: Blocked::NONDETERMINISM.into(), message, holders: Vec::new() })
            }
        };
        if poisoned {
            self.discard(id);
        }
        outcome
    }

    fn evict(&mut self, uid: &Uid) {
        self.take(uid);
    }

    fn cached(&self) -> (usize, usize) {
        (self.runs.len(), self.bytes)
    }
}
