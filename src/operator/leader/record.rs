//! What stands in the Lease, and whose turn it is: the rules of client-go's leader election.
//!
//! Clocks of two machines are never compared: a candidate measures how long it has seen the same record.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// How long a leader is believed, and when it stops believing itself. 15 s, 10 s and 2 s in client-go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// A candidate that has seen no sign of the leader for so long takes its place.
    pub lease: Duration,
    /// A leader whose last sign was sent so long ago writes nothing any more; shorter than `lease`.
    pub renew_within: Duration,
    /// Between two signs, and between two looks.
    pub retry: Duration,
}

impl Times {
    /// client-go's proportions for a lease of this length; a lead that is given up in order is seen within two seconds, however long it is.
    #[must_use]
    pub fn of(lease: Duration) -> Self {
        Self { lease, renew_within: lease * 2 / 3, retry: (lease * 2 / 15).min(Duration::from_secs(2)) }
    }
}

/// A Lease as it was first seen here.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) lease: Lease,
    pub(super) at: Instant,
}

impl Seen {
    /// Somebody holds it.
    pub(super) fn is_held(&self) -> bool {
        self.lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).is_some_and(|holder| !holder.is_empty())
    }

    /// The same record seen again keeps the time of its first sight.
    pub(super) fn again(before: Option<Self>, lease: Lease, now: Instant) -> Self {
        match before {
            Some(before) if before.lease.spec == lease.spec => Self { lease, at: before.at },
            _ => Self { lease, at: now },
        }
    }
}

/// What a candidate or a leader does next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// There is no Lease: make it.
    Create(Box<Lease>),
    /// Write this one over the one that was seen.
    Replace(Box<Lease>),
    /// Another one leads.
    Wait,
}

/// Decides. `wall` only tells people the time.
pub(super) fn next(me: &str, name: &str, seen: Option<&Seen>, times: Times, now: Instant, wall: jiff::Timestamp) -> Next {
    let wall = MicroTime(wall);
    let mine = |since: MicroTime, transitions: i32| LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(i32::try_from(times.lease.as_secs().max(1)).unwrap_or(i32::MAX)),
        acquire_time: Some(since),
        renew_time: Some(wall.clone()),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    };
    let Some(seen) = seen else {
        let mut lease = Lease { spec: Some(mine(wall.clone(), 0)), ..Lease::default() };
        lease.metadata.name = Some(name.to_owned());
        return Next::Create(Box::new(lease));
    };
    let spec = seen.lease.spec.clone().unwrap_or_default();
    let transitions = spec.lease_transitions.unwrap_or(0);
    let spec = match spec.holder_identity.as_deref().filter(|holder| !holder.is_empty()) {
        Some(holder) if holder == me => mine(spec.acquire_time.unwrap_or_else(|| wall.clone()), transitions),
        Some(_) if now.saturating_duration_since(seen.at) < times.lease => return Next::Wait,
        _ => mine(wall.clone(), transitions.saturating_add(1)),
    };
    Next::Replace(Box::new(Lease { spec: Some(spec), ..seen.lease.clone() }))
}

/// The record of a leader that steps down: anybody may follow at once.
pub(super) fn released(lease: &Lease) -> Lease {
    let mut lease = lease.clone();
    if let Some(spec) = &mut lease.spec {
        spec.holder_identity = None;
    }
    lease
}
