//! The names of the keys. Those of a partition carry the hash tag `{e<P>}`, those of the store itself `{e}`.
//!
//! | key | type | what |
//! |---|---|---|
//! | `{e}:meta` | hash | format, id, partitions, created, term, open: that open runs are counted |
//! | `{e}:gen` | counter | generations of definitions |
//! | `{e}:v:<version>` | string | a definition, canonical JSON |
//! | `{e}:w:<namespace>` | hash | name to workflow record |
//! | `{e}:wb:<namespace>` | hash | likewise, of those that are on their way to the partitions |
//! | `{e}:wk:<namespace>/<name>` | sorted set | idempotency keys of the last definitions |
//! | `{e<P>}:w` | hash | `<namespace>/<name>` to workflow record |
//! | `{e<P>}:pools`, `:queues` | set | names that `counts` looks at |
//! | `{e<P>}:r:<run>` | string | the record of a run |
//! | `{e<P>}:a:<run>` | hash | attempts beyond the first eight open ones |
//! | `{e<P>}:j:<run>` | list | journal entries |
//! | `{e<P>}:m:<run>` | list | unread events |
//! | `{e<P>}:k:<run>` | sorted set | idempotency keys by number of arrival |
//! | `{e<P>}:ix:<namespace>` | sorted set | ids of runs by start |
//! | `{e<P>}:qt:<pool>` | sorted set | ready runs by the ms from which anyone may claim them |
//! | `{e<P>}:qh:<session>` | sorted set | those of them that prefer a session, as long as they do |
//! | `{e<P>}:qa:<queue>` | sorted set | queued attempts `<run>#<command>`, by when they were queued |
//! | `{e<P>}:d` | sorted set | timers `T\|<run>#<command>#<uid's end>` and back-offs `R\|<run>#<command>` by due |
//! | `{e<P>}:g` | sorted set | attempts with a schedule time-out by that |
//! | `{e<P>}:s` | sorted set | sessions by deadline, 0 while one is being ended |
//! | `{e<P>}:l:<session>` | sorted set | its leases by their end, and itself as the empty member |
//! | `{e<P>}:x:<session>` | sorted set | leases of an ended session that are to be released |
//! | `{e<P>}:dead` | sorted set | ended sessions by when |
//! | `{e<P>}:e:<number>` | list | what a claim on an external queue was granted, for its repeat |
//! | `{e<P>}:f` | list | runs with an origin that have changed |
//! | `{e<P>}:ft` | counter | how many of them were trimmed off the front |
//! | `{e<P>}:open` | hash | `<namespace>/<workflow>/<version>` to how many runs of it are open |
//! | `{e<P>}:fo` | sorted set | open runs with an origin `<run>\|<origin>`, by name |
//! | `{e<P>}:settled` | hash | `<pool>#<bucket>` (attempts) and `<pool>#t<bucket>` (turns) to how many used a slot so long; `<pool>` to how many attempts of which that is not known |
//! | `{e<P>}:c` | sorted set | closed runs by when they go |
//! | `{e<P>}:o:<Q>` | list | messages to runs of partition Q |
//! | `{e<P>}:on`, `:in` | hash | by partition: the number of the last message sent to it, and of the last one applied of it |
//! | `{e<P>}:oq` | set | partitions that a message waits for |

use crate::api::{Name, Partition, Version};

pub(super) const META: &str = "{e}:meta";
pub(super) const GENERATION: &str = "{e}:gen";

/// The hash tag of the store's own keys.
pub(super) const TAG: &str = "e";

/// The hash tag of a partition's keys.
pub(super) fn tag(partition: Partition) -> String {
    format!("e{}", partition.0)
}

pub(super) fn prefix(partition: Partition) -> String {
    format!("{{{}}}:", tag(partition))
}

pub(super) fn definition(version: &Version) -> String {
    format!("{{e}}:v:{version}")
}

pub(super) fn workflows(namespace: &Name) -> String {
    format!("{{e}}:w:{namespace}")
}

/// Definitions that were begun and did not reach all partitions.
pub(super) fn begun_workflows(namespace: &Name) -> String {
    format!("{{e}}:wb:{namespace}")
}

/// Idempotency keys of a workflow's last definitions.
pub(super) fn workflow_keys(namespace: &Name, name: &Name) -> String {
    format!("{{e}}:wk:{namespace}/{name}")
}

/// The channel of wakes: named for the store, because channels span the databases of a server.
pub(super) fn channel(store_id: &str) -> String {
    format!("everloop:{store_id}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_of_keys_is_documented_as_it_stands_here() {
        let page = include_str!("../../../docs/store.md");
        let rows = include_str!("keys.rs").lines().filter_map(|line| line.strip_prefix("//! ")).filter(|line| line.starts_with('|'));
        let missing: Vec<_> = rows.filter(|row| !page.contains(*row)).collect();
        assert!(missing.is_empty(), "docs/store.md lacks these rows:\n{}", missing.join("\n"));
    }
}
