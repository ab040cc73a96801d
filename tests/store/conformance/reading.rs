//! Journals and lists.

use everloop::api::{RunStatus, TimeMs};
use everloop::machine::turn::EntryText;
use everloop::store::op::*;

use crate::on_every_store;
use crate::world::*;

on_every_store!(a_journal_is_read_in_pages_of_about_the_asked_size, lists_merge_the_partitions_newest_first_and_page_through_all_of_them,);

async fn a_journal_is_read_in_pages_of_about_the_asked_size(world: World) {
    let grant = world.leased("a", "s1", 10).await;
    let mut head = grant.record.head;
    for n in 0..40 {
        let entry = EntryText { before: format!("{n}:{}", "x".repeat(100)), after: String::new() };
        let part = Turn { entry, consumed: 0, continued: true, ..turn(&head, 100 + n) };
        head = accepted(world.commit("a", "s1", 1, part, 20, None).await).turns.remove(0).record.head;
    }
    let mut entries = Vec::new();
    loop {
        let page = world.store.journal(&run("a"), entries.len() as u32, 1_000).await.unwrap().unwrap();
        assert_eq!((page.turns, page.head.as_str(), page.uid.as_str()), (40, head.as_str(), grant.record.uid.as_str()));
        if page.entries.is_empty() {
            break;
        }
        assert!(page.entries.len() <= 9);
        entries.extend(page.entries);
    }
    assert_eq!(entries.len(), 40);
    assert!(entries.iter().enumerate().all(|(n, entry)| entry.starts_with(&format!("{n}:"))));
    assert_eq!(world.store.journal(&run("a"), 3, 1).await.unwrap().unwrap().entries.len(), 1, "at least one");
    assert_eq!(world.store.journal(&run("none"), 0, 1).await.unwrap(), None);
}

async fn lists_merge_the_partitions_newest_first_and_page_through_all_of_them(world: World) {
    for n in 0..300_u64 {
        // Many begin in the same millisecond.
        let start = Start { now: TimeMs(10 + n / 100), ..world.start_of(&format!("r{n}"), 10) };
        world.store.start(start).await.unwrap();
    }
    world.leased("closed", "s1", 10).await;
    let head = world.record("closed").await.head;
    accepted(world.commit("closed", "s1", 1, closing(&head, 2), 20, None).await);
    for (status, workflow, limit, expected) in [
        (None, None, 7, 301),
        (None, Some("order"), 301, 301),
        (Some(RunStatus::Running), None, 50, 300),
        (Some(RunStatus::Completed), None, 50, 1),
        (None, Some("other"), 50, 0),
    ] {
        let mut list = List { namespace: name("shop"), workflow: workflow.map(name), status, limit, cursor: String::new() };
        let mut seen = Vec::new();
        loop {
            let page = world.store.list(list.clone()).await.unwrap();
            assert!(page.runs.len() <= limit);
            seen.extend(page.runs);
            if page.cursor.is_empty() {
                break;
            }
            list.cursor = page.cursor;
        }
        assert_eq!(seen.len(), expected, "{status:?} {workflow:?}");
        let places: Vec<_> = seen.iter().map(|(run, record)| (record.started_at, run.id.clone())).collect();
        assert!(places.is_sorted_by(|a, b| a > b), "newest first, none twice");
    }
}
