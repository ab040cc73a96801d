//! Defining workflows.

use everloop::api::Origin;
use everloop::api::{DurationMs, Version};
use everloop::store::op::{Define, Defined, Retire, Started, WorkflowRecord};

use crate::on_every_store;
use crate::world::{World, name};

on_every_store!(
    a_repeated_definition_changes_nothing,
    a_definition_known_by_its_key_is_not_made_current_again,
    a_new_version_takes_over_and_the_old_one_stays_readable,
    a_definition_is_current_everywhere_and_the_later_one_wins,
    a_retired_workflow_takes_no_new_runs_and_lives_when_it_is_defined_again,
    a_workflow_is_changed_and_retired_by_who_holds_it_only,
);

async fn a_repeated_definition_changes_nothing(world: World) {
    let (again, unchanged) = world.define(world.definition()).await;
    assert!(unchanged);
    let current = world.store.workflow(&name("shop"), &name("order")).await.unwrap().unwrap();
    assert_eq!(current, again);
    let (other_pool, unchanged) = world.define(Define { pool: name("big"), ..world.definition() }).await;
    assert!(!unchanged);
    assert!(other_pool.generation > current.generation);
    assert_eq!(other_pool.version, current.version);
}

async fn a_definition_known_by_its_key_is_not_made_current_again(world: World) {
    let late = Define { version: Version::of("late"), definition: "late".into(), key: "k".into(), ..world.definition() };
    let (_, unchanged) = world.define(late.clone()).await;
    assert!(!unchanged);
    let (back, unchanged) = world.define(world.definition()).await;
    assert!(!unchanged);
    assert_eq!(world.define(late.clone()).await, (back.clone(), true), "what followed it stays");
    let (_, unchanged) = world.define(Define { name: name("basket"), ..late.clone() }).await;
    assert!(!unchanged, "a key names a definition of one workflow");
    let (again, unchanged) = world.define(Define { key: "other".into(), ..late }).await;
    assert_eq!((unchanged, again.generation > back.generation), (false, true));
}

async fn a_new_version_takes_over_and_the_old_one_stays_readable(world: World) {
    let new = Define { version: Version::of("new"), definition: "new".into(), ..world.definition() };
    let (defined, unchanged) = world.define(new.clone()).await;
    assert!(!unchanged);
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
            Started::VersionChanged(record) => assert_eq!(record, defined),
            other => panic!("{other:?}"),
        }
    }
}

async fn a_definition_is_current_everywhere_and_the_later_one_wins(world: World) {
    let (again, unchanged) = world.define(world.definition()).await;
    assert!(unchanged);
    let newer = Define { version: Version::of("newer"), definition: "newer".into(), ..world.definition() };
    let (defined, unchanged) = world.define(newer).await;
    assert_eq!((unchanged, defined.generation > again.generation), (false, true));
    let other = Define { retention: DurationMs(9), ..world.definition() };
    assert!(!world.define(other).await.1, "back again, with another retention");
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

fn object(uid: &str) -> Option<Origin> {
    Some(format!("kubernetes/{uid}").parse().unwrap())
}

fn retirement(holder: Option<Origin>, key: &str) -> Retire {
    Retire { namespace: name("shop"), name: name("order"), holder, key: key.into(), now: everloop::api::TimeMs(20) }
}

/// Retires it: what is current then, and whether it was before.
async fn retire(world: &World, holder: Option<Origin>, key: &str) -> (WorkflowRecord, bool) {
    match world.store.retire(retirement(holder, key)).await.unwrap() {
        Some(Defined::Done { record, unchanged }) => (record, unchanged),
        other => panic!("{other:?}"),
    }
}

async fn a_retired_workflow_takes_no_new_runs_and_lives_when_it_is_defined_again(world: World) {
    world.start("open", 10).await;
    let before = world.store.workflow(&name("shop"), &name("order")).await.unwrap().unwrap();
    let (retired, unchanged) = retire(&world, None, "r").await;
    assert!(!unchanged);
    assert!(retired.generation > before.generation);
    let same = WorkflowRecord { generation: before.generation, defined_at: before.defined_at, retired: false, ..retired.clone() };
    assert_eq!(same, before, "all else stays");
    assert_eq!(world.store.workflow(&name("shop"), &name("order")).await.unwrap().as_ref(), Some(&retired));
    assert_eq!(retire(&world, None, "again").await, (retired.clone(), true));
    for n in 0..20 {
        match world.store.start(world.start_of(&format!("r{n}"), 30)).await.unwrap() {
            Started::Retired(record) => assert_eq!(record, retired, "in every partition"),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(world.store.start(world.start_of("open", 30)).await.unwrap(), Started::Existing(_)), "a repeat is a repeat");
    let (alive, unchanged) = world.define(world.definition()).await;
    assert_eq!((unchanged, alive.retired, alive.generation > retired.generation), (false, false, true));
    assert_eq!(retire(&world, None, "r").await, (alive, true), "a late repeat retires nothing");
    world.start("r0", 40).await;
    let none = Retire { name: name("none"), ..retirement(None, "") };
    assert_eq!(world.store.retire(none).await.unwrap(), None);
}

async fn a_workflow_is_changed_and_retired_by_who_holds_it_only(world: World) {
    let of = |holder| Define { version: Version::of("new"), definition: "new".into(), holder, ..world.definition() };
    let current = world.store.workflow(&name("shop"), &name("order")).await.unwrap().unwrap();
    assert_eq!(world.store.define(of(object("a"))).await.unwrap(), Defined::Held(current.clone()), "by people");
    assert_eq!(world.store.retire(retirement(object("a"), "")).await.unwrap(), Some(Defined::Held(current.clone())));
    assert_eq!(world.store.workflow(&name("shop"), &name("order")).await.unwrap(), Some(current));
    assert_eq!(world.store.definition(&Version::of("new")).await.unwrap(), None, "a refused one leaves nothing behind");
    assert_eq!(world.store.held_workflows().await.unwrap(), vec![]);

    retire(&world, None, "").await;
    let (held, unchanged) = world.define(of(object("a"))).await;
    assert_eq!((unchanged, held.retired, held.holder.as_str()), (false, false, "kubernetes/a"), "whoever comes next holds it");
    assert_eq!(world.define(of(object("a"))).await, (held.clone(), true));
    for other in [None, object("b")] {
        assert_eq!(world.store.define(of(other.clone())).await.unwrap(), Defined::Held(held.clone()));
        assert_eq!(world.store.retire(retirement(other, "")).await.unwrap(), Some(Defined::Held(held.clone())));
    }
    assert_eq!(world.store.held_workflows().await.unwrap(), vec![(name("shop"), held)]);
    let (retired, _) = retire(&world, object("a"), "").await;
    assert_eq!(retired.holder, "", "nobody");
    assert_eq!(world.store.held_workflows().await.unwrap(), vec![]);
    let (held, _) = world.define(of(object("b"))).await;
    assert_eq!(held.holder, "kubernetes/b");
}
