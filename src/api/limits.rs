//! Every bound in one place, with its reason. What happens at each: an error with its own code (see [`super::Code`]).

use super::time::DurationMs;

/// RFC 1123 label.
pub const NAME_BYTES_MAX: usize = 63;
/// Long enough for a URL path as an id, short enough for a key.
pub const RUN_ID_BYTES_MAX: usize = 255;
/// A worker's name (40), its pool (63) and what makes it unique.
pub const SESSION_ID_BYTES_MAX: usize = 128;
/// First part of a session's id.
pub const WORKER_NAME_BYTES_MAX: usize = 40;
/// The kind of an origin, and a uid.
pub const ORIGIN_BYTES_MAX: usize = 128;
/// Changes that a partition's feed keeps at least. Whoever is further behind is told so, and looks at all that it follows.
pub const CHANGES_KEPT: u64 = 2_048;
/// Changes beyond that which are trimmed together.
pub const CHANGES_TRIMMED: u64 = 256;
/// Changes of one partition in one answer.
pub const CHANGES_PAGE_MAX: usize = 256;
/// Timers are told so long ahead to those who start workers in time for them.
pub const TIMERS_AHEAD: DurationMs = DurationMs::from_secs(300);
/// Timers of one partition in one answer.
pub const TIMERS_TOLD_MAX: usize = 64;
/// Timers of one partition that are overdue are counted up to so many.
pub const OVERDUE_COUNTED_MAX: usize = 4_096;
/// Open runs with an origin in one answer.
pub const FOLLOWED_PAGE_MAX: usize = 1_000;
/// About so many bytes of results and errors are in one answer of the feed.
pub const CHANGES_PAGE_BYTES: usize = 1 << 20;
/// A signal's name: a word, not a document.
pub const SIGNAL_NAME_BYTES_MAX: usize = 255;
/// A workflow is a function, not a bundle.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;
/// Input, result, signal or argument, as JSON text.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Deeper JSON overflows the stack of careless parsers.
pub const JSON_DEPTH_MAX: usize = 64;
/// Unread events per run that come from outside; at the bound a signal is refused before it is acknowledged.
pub const UNREAD_EVENTS_MAX: u32 = 10_000;
/// Commands that one turn may issue.
pub const TURN_COMMANDS_MAX: usize = 10_000;
/// Commands in one commit; a longer turn is committed in parts.
pub const COMMIT_COMMANDS_MAX: usize = 1_000;
/// Bytes in one commit, as above.
pub const COMMIT_BYTES_MAX: usize = 4 << 20;
/// Events that one claim hands out for a run.
pub const CLAIM_EVENTS_MAX: usize = 1_000;
/// Journal of one run, in bytes.
pub const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// Journal of one run, in commands.
pub const JOURNAL_COMMANDS_MAX: u32 = 250_000;
/// Bytes in a page of a journal.
pub const JOURNAL_PAGE_BYTES: usize = 256 << 10;
/// A worker is marked to be drained for so long at a time: a mark that nobody renews must not keep a worker idle.
pub const DRAIN_MARK_MAX: DurationMs = DurationMs::from_secs(60);
/// Runs in a page of a list.
pub const LIST_PAGE_MAX: usize = 1_000;
/// Longest long poll.
pub const LONG_POLL_MAX: DurationMs = DurationMs::from_secs(60);
/// Longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Idempotency keys that a run remembers beyond those of unread events.
pub const IDEMPOTENCY_KEYS_KEPT: u32 = 256;
/// CPU that one turn may use.
pub const TURN_CPU: DurationMs = DurationMs::from_secs(1);
/// CPU time of a replay after which the other runs of its event loop go first.
pub const REPLAY_SLICE: DurationMs = DurationMs(5);
/// Heap that one run may use, in bytes.
pub const RUN_HEAP_BYTES_MAX: usize = 64 << 20;
/// Stack that one run may use, in bytes.
pub const RUN_STACK_BYTES_MAX: usize = 512 << 10;
/// Pools that metrics tell of: each is twelve series or so.
pub const POOLS_MEASURED_MAX: usize = 256;
/// Work of one script of the store's loops (timers, expiry, retention), in records.
pub const SLICE_MAX: usize = 256;
/// Losses of a lease after which an activity fails with `WorkerLost`.
pub const ATTEMPT_LOSSES_MAX: u32 = 5;
/// Deaths of a worker in a run's turn after which the run is blocked with `TurnKilledWorker`.
pub const TURN_DEATHS_MAX: u32 = 4;
/// Deaths of a worker after which a leased run's turn is taken in a process of its own.
pub const TURN_SUSPECT_DEATHS: u32 = 2;
/// How long a ready run prefers the worker that has it in memory.
pub const AFFINITY: DurationMs = DurationMs(50);
/// A queued attempt younger than this may be overtaken by a grant in a commit's answer.
pub const GRANT_OVERTAKES: DurationMs = DurationMs(20);
/// Slots that one worker may offer, of each kind.
pub const SLOTS_MAX: u16 = 4_096;
/// Steps in one item: activities that a worker has performed at once, each with the turn that follows.
pub const ITEM_STEPS_MAX: usize = 32;
/// Items in one commit request.
pub const COMMIT_ITEMS_MAX: usize = 1_024;
/// Activities in one definition.
pub const ACTIVITIES_MAX: usize = 1_000;
/// Console lines kept per turn; further ones are dropped and counted.
pub const TURN_LOGS_MAX: usize = 100;
/// Bytes of one console line.
pub const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// Bytes of an error's message or stack.
pub const ERROR_TEXT_BYTES_MAX: usize = 16 << 10;
/// Body of any request, in bytes: a commit and its frame.
pub const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Tasks that one poll of an external queue may take.
pub const QUEUE_TASKS_MAX: u16 = 100;
/// Tasks that are settled in one request: as many as a run is sure to know again when the request is repeated.
pub const TASKS_SETTLED_MAX: usize = IDEMPOTENCY_KEYS_KEPT as usize;
/// An HTTP activity's answer, in bytes: the payload's bound.
pub const ACTIVITY_RESPONSE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX;

const _: () = assert!(COMMIT_BYTES_MAX < REQUEST_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX < COMMIT_BYTES_MAX);
