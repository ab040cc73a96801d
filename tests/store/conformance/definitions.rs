//! Defining workflows.

use everloop::api::{DurationMs, Version};
use everloop::store::op::{Define, Started};

use crate::on_every_store;
use crate::world::{World, name};

on_every_store!(
    a_repeated_definition_changes_nothing,
    a_definition_known_by_its_key_is_not_made_current_again,
    a_new_version_takes_over_and_the_old_one_stays_readable,
    a_definition_is_current_everywhere_and_the_later_one_wins,
);

async fn a_repeated_definition_changes_nothing(world: World) {
    let again = world.store.define(world.definition()).await.unwrap();
    assert!(again.unchanged);
    let current = world.store.workflow(&name("shop"), &name("order")).await.unwrap().unwrap();
    assert_eq!(current, again.record);
    let other_pool = world.store.define(Define { pool: name("big"), ..world.definition() }).await.unwrap();
    assert!(!other_pool.unchanged);
    assert!(other_pool.record.generation > current.generation);
    assert_eq!(other_pool.record.version, current.version);
}

async fn a_definition_known_by_its_key_is_not_made_current_again(world: World) {
    let late = Define { version: Version::of("late"), definition: "late".into(), key: "k".into(), ..world.definition() };
    let first = world.store.define(late.clone()).await.unwrap();
    assert!(!first.unchanged);
    let back = world.store.define(world.definition()).await.unwrap();
    assert!(!back.unchanged);
    let repeat = world.store.define(late.clone()).await.unwrap();
    assert_eq!((repeat.record, repeat.unchanged), (back.record.clone(), true), "what followed it stays");
    let other_workflow = world.store.define(Define { name: name("basket"), ..late.clone() }).await.unwrap();
    assert!(!other_workflow.unchanged, "a key names a definition of one workflow");
    let again = world.store.define(Define { key: "other".into(), ..late }).await.unwrap();
    assert_eq!((again.unchanged, again.record.generation > back.record.generation), (false, true));
}

async fn a_new_version_takes_over_and_the_old_one_stays_readable(world: World) {
    let new = Define { version: Version::of("new"), definition: "new".into(), ..world.definition() };
    let defined = world.store.define(new.clone()).await.unwrap();
    assert!(!defined.unchanged);
    for (version, text) in [(&world.version, "definition"), (&new.version, "new")] {
        assert_eq!(world.store.definition(version).await.unwrap().as_deref(), Some(text));
    }
    assert_eq!(world.store.definition(&Version::of("never")).await.unwrap(), None);
    world.store.define(Define { name: name("basket"), ..world.definition() }).await.unwrap();
    world.store.define(Define { namespace: name("shop-2"), ..world.definition() }).await.unwrap();
    let all = world.store.workflows(&name("shop")).await.unwrap();
    assert_eq!(all.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(), ["basket", "order"]);
    assert_eq!(world.store.workflow(&name("shop"), &name("none")).await.unwrap(), None);

    // A caller that still has the old one in mind is told, in every partition.
    for id in ["a", "b", "c", "d"] {
        match world.store.start(world.start_of(id, 10)).await.unwrap() {
            Started::VersionChanged(record) => assert_eq!(record, defined.record),
            other => panic!("{other:?}"),
        }
    }
}

async fn a_definition_is_current_everywhere_and_the_later_one_wins(world: World) {
    let again = world.store.define(world.definition()).await.unwrap();
    assert!(again.unchanged);
    let newer = Define { version: Version::of("newer"), definition: "newer".into(), ..world.definition() };
    let defined = world.store.define(newer).await.unwrap();
    assert_eq!((defined.unchanged, defined.record.generation > again.record.generation), (false, true));
    let other = Define { retention: DurationMs(9), ..world.definition() };
    assert!(!world.store.define(other).await.unwrap().unchanged, "back again, with another retention");
    assert_eq!(world.store.definition(&world.version).await.unwrap().as_deref(), Some("definition"));
    assert_eq!(world.store.definition(&Version::of("newer")).await.unwrap().as_deref(), Some("newer"));
    assert_eq!(world.store.definition(&Version::of("none")).await.unwrap(), None);
    let record = world.store.workflow(&name("shop"), &name("order")).await.unwrap().unwrap();
    assert_eq!((record.version.clone(), record.retention_ms), (world.version.clone(), 9));
    assert_eq!(world.store.workflow(&name("shop"), &name("none")).await.unwrap(), None);
    world.store.define(Define { name: name("a"), ..world.definition() }).await.unwrap();
    let all = world.store.workflows(&name("shop")).await.unwrap();
    assert_eq!(all.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(), ["a", "order"]);
    for n in 0..40 {
        assert!(
            matches!(world.store.start(world.start_of(&format!("r{n}"), 10)).await.unwrap(), Started::New { .. }),
            "in every partition"
        );
    }
}
