//! The tables of the file and the keys in them.
//!
//! All are bytes to bytes. A key begins with the partition; texts in it end with a zero byte (no id has one), numbers are
//! big-endian, so that the order of the bytes is the order of the things.

use redb::TableDefinition;

use crate::api::{CommandNo, Partition, TimeMs};

/// Key and value of every table.
pub(super) type Bytes = &'static [u8];

macro_rules! tables {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum T { $($(#[$doc])* $variant,)* }

        impl T {
            /// All of them, in the order of their numbers.
            pub(super) const ALL: &'static [T] = &[$(T::$variant,)*];
            /// How many there are.
            pub(super) const COUNT: usize = Self::ALL.len();

            /// How redb finds it.
            pub(super) fn definition(self) -> TableDefinition<'static, Bytes, Bytes> {
                TableDefinition::new(match self { $(T::$variant => $name,)* })
            }
        }
    };
}

tables! {
    /// `format`, `id`, `partitions`, `sequence`, `mark`, `term`.
    Meta = "meta",
    /// version: the definition's canonical JSON.
    Versions = "versions",
    /// namespace, name: `WorkflowRecord` as JSON.
    Workflows = "workflows",
    /// partition, run: `RunRecord`.
    Runs = "runs",
    /// partition, run, turn: the entry's text.
    Journal = "journal",
    /// partition, run, arrival: a `Mail`.
    Mailbox = "mailbox",
    /// partition, run, 0, key: arrival. partition, run, 1, arrival: key.
    Keys = "keys",
    /// partition, pool, claimable at, run: the session that is preferred before that.
    Ready = "ready",
    /// partition, run: where it stands in `Ready`.
    ReadyOf = "ready_of",
    /// partition, queue, sequence: when it was queued, command, run.
    Queued = "queued",
    /// partition, run, command: where it stands in `Queued`.
    QueuedOf = "queued_of",
    /// partition, at, kind, run, command: nothing.
    Due = "due",
    /// partition, run, kind, command: where it stands in `Due`.
    DueOf = "due_of",
    /// partition, session: a `SessionRow`.
    Sessions = "sessions",
    /// partition, at, session: nothing. At the deadline while alive, at 0 while ending, when it is forgotten after that.
    SessionDue = "session_due",
    /// partition, session, kind, run, command: request number, deadline.
    Leases = "leases",
    /// partition, deadline, run, command: nothing. Attempts only.
    LeaseDue = "lease_due",
    /// partition, remove at, run: nothing.
    Closed = "closed",
    /// partition, partition of the receiver, number: a `Message`.
    Outbox = "outbox",
    /// partition, `o`, partition of the receiver: the number of the last message sent. partition, `i`, partition of the sender: of the
    /// last one applied.
    Sequences = "sequences",
    /// partition, place: the name of a run that has changed.
    Changes = "changes",
    /// partition: the place of the last change.
    ChangesEnd = "changes_end",
    /// partition, namespace, workflow, version: how many runs of it are open.
    Open = "open",
    /// partition, pool, `A` for attempts and `T` for turns, `Bucket`: how many ended that used a slot so long. partition, pool: of attempts of
    /// which that is not known.
    Settled = "settled",
    /// partition, `R` and pool, `Q` and queue, `T` or `A` and session: how many rows it has in `Ready`, `Queued` and `Leases`.
    Lengths = "lengths",
    /// partition, run: where the open run comes from.
    Followed = "followed",
    /// namespace, started at, id: nothing. Over all partitions, because a file has one order of runs.
    Started = "started",
    /// namespace, workflow, started at, id: nothing.
    StartedOf = "started_of",
}

/// What falls due, in the order in which equal times are fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DueKind {
    /// A back-off ends.
    Retry,
    /// An attempt that nobody has begun or ended is given up.
    GiveUp,
    /// A timer fires.
    Timer,
}

impl DueKind {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Retry => b'R',
            Self::GiveUp => b'G',
            Self::Timer => b'T',
        }
    }

    pub(super) fn of(byte: u8) -> Option<Self> {
        [Self::Retry, Self::GiveUp, Self::Timer].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// What is leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseKind {
    /// An attempt.
    Attempt,
    /// A turn.
    Turn,
}

impl LeaseKind {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Attempt => b'A',
            Self::Turn => b'T',
        }
    }
}

/// A key while it is put together.
#[derive(Debug, Clone, Default)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// A key of a partition.
    pub(super) fn of(partition: Partition) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&partition.0.to_be_bytes());
        Self(bytes)
    }

    /// A key over all partitions.
    pub(super) fn global() -> Self {
        Self(Vec::with_capacity(64))
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    pub(super) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn time(self, time: TimeMs) -> Self {
        self.number(time.0)
    }

    /// A command's or a turn's number.
    pub(super) fn short(mut self, number: CommandNo) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first key after all that begin with this one.
    pub(super) fn end(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return end;
            }
        }
        // Nothing but 0xff: no partition has that number, and no text has that byte.
        vec![u8::MAX; 16]
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Takes a key or a value apart, from the front. Every part is `None` when the bytes are damaged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a>(pub(super) &'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).and_then(|bytes| bytes.first().copied())
    }

    pub(super) fn short(&mut self) -> Option<u32> {
        self.take(4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.take(8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
    }

    pub(super) fn time(&mut self) -> Option<TimeMs> {
        self.number().map(TimeMs)
    }

    /// A text that ends with a zero byte.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        self.skip(1)?;
        Some(text)
    }

    /// All that is left, as a text.
    pub(super) fn rest(&mut self) -> Option<&'a str> {
        std::str::from_utf8(std::mem::take(&mut self.0)).ok()
    }
}

/// The bytes of a partition in a key.
pub(super) const PARTITION_BYTES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_the_things_do_and_come_apart_again() {
        let key = |at, run: &str, n| Key::of(Partition(1)).time(TimeMs(at)).byte(b'T').text(run).short(n);
        let sorted = [key(5, "a/x", 9), key(5, "a/x", 256), key(5, "a/x1", 0), key(6, "a/a", 0), key(256, "a/a", 0)];
        assert!(sorted.windows(2).all(|pair| pair[0].bytes() < pair[1].bytes()));
        let mut parts = Parts(sorted[1].bytes());
        parts.skip(PARTITION_BYTES).unwrap();
        assert_eq!((parts.time(), parts.byte(), parts.text(), parts.short()), (Some(TimeMs(5)), Some(b'T'), Some("a/x"), Some(256)));
        assert_eq!(parts.byte(), None);
    }

    #[test]
    fn a_prefix_ends_before_its_neighbour() {
        let prefix = Key::of(Partition(255)).text("a");
        assert!(prefix.clone().number(u64::MAX).bytes() < prefix.end().as_slice());
        assert!(prefix.end().as_slice() < Key::of(Partition(256)).bytes());
        assert!(Key::of(Partition(255)).end().as_slice() <= Key::of(Partition(256)).bytes());
    }
}
