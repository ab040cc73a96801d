//! Fires what is due: one loop per partition, which sleeps until the next thing is due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::pause;
use crate::api::limits::SLICE_MAX;
use crate::api::{Partition, TimeMs};
use crate::queue::service::{Service, Shared};
use crate::queue::waiters::{Free, Reservation};
use crate::store::StoreError;
use crate::store::op::{Fire, Fired};

/// Look at least so often: another replica may have set an earlier timer and its word been missed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Slots that one slice offers of a waiting poll.
const OFFERED: Free = Free { turns: 64, activities: 0 };
/// Records of one slice while more timers are due than that: as many as it can offer slots for. A turn that is granted as its timer
/// fires costs half of one that is queued and then claimed.
const SLICE_BEHIND: usize = OFFERED.turns as usize;
/// So long a slice of them waits for a worker that has room, when none has.
const ROOM_WITHIN: Duration = Duration::from_millis(250);

/// When a partition's next timer is due, as far as this replica knows.
#[derive(Debug, Default)]
pub struct Due {
    /// The time that the loop sleeps until; the largest number while it is awake or knows of nothing.
    planned: AtomicU64,
    earlier: Notify,
}

impl Due {
    /// Look now.
    pub fn look(&self) {
        self.earlier.notify_one();
    }
}

impl Service {
    /// Something falls due in a partition then.
    pub fn due(&self, partition: Partition, at: TimeMs) {
        if let Some(due) = self.due.get(usize::from(partition.0))
            && at.0 < due.planned.load(Ordering::Acquire)
        {
            due.look();
        }
    }

    /// One slice. `behind`: more timers are due than one.
    async fn fire(&self, partition: Partition, behind: bool) -> Result<Fired, StoreError> {
        let reserve = || self.waiters.reserve(None, OFFERED, partition);
        let (slice, reservation) = if behind {
            let room = self.waiters.with_room(reserve);
            let reservation = tokio::select! {
                reservation = room => Some(reservation),
                () = tokio::time::sleep(ROOM_WITHIN) => None,
                () = self.shutdown.cancelled() => None,
            };
            (SLICE_BEHIND, reservation)
        } else {
            (SLICE_MAX, reserve())
        };
        let offer = reservation.as_ref().map(Reservation::offer);
        let mut fired = self.store.fire(Fire { partition, now: self.clock.for_store(), offer, slice }).await?;
        self.hand_over(reservation, std::mem::take(&mut fired.grants)).await;
        self.metrics.timers.inc_by(fired.timers.into());
        for timed_out in std::mem::take(&mut fired.timed_out) {
            let run = timed_out.run.clone();
            if let Err(error) = self.time_out(timed_out).await {
                tracing::warn!(%error, %run, "a time-out was not recorded; it will be");
            }
        }
        Ok(fired)
    }
}

/// Runs until shutdown.
pub async fn run(service: Shared, partition: Partition) {
    let due = &service.due[usize::from(partition.0)];
    let (mut planned, mut behind) = (TimeMs(0), false);
    loop {
        // From here on whoever sets a timer makes the loop look again.
        due.planned.store(u64::MAX, Ordering::Release);
        let next = match service.fire(partition, behind).await {
            Ok(fired) => {
                if fired.timers > 0 && planned > TimeMs(0) {
                    #[expect(clippy::cast_precision_loss, reason = "a lateness is far below 2^53 ms")]
                    service.metrics.lateness.observe(fired.now.since(planned).0 as f64 / 1_000.0);
                }
                planned = fired.next_due;
                behind = fired.more && fired.timers > 0;
                if fired.more {
                    if service.shutdown.is_cancelled() {
                        return;
                    }
                    continue;
                }
                fired.next_due
            }
            Err(_) => TimeMs(0),
        };
        let until_next = if next > TimeMs(0) { next.since(service.clock.now()).to_std().max(Duration::from_millis(1)) } else { LOOK_EVERY };
        due.planned.store(if next > TimeMs(0) { next.0 } else { u64::MAX }, Ordering::Release);
        tokio::select! {
            slept = pause(&service.shutdown, until_next.min(LOOK_EVERY)) => if !slept { return },
            () = due.earlier.notified() => {}
        }
    }
}
