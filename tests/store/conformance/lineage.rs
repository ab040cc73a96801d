//! Which store it is, and the terms of operators.

use std::collections::BTreeSet;

use everloop::store::op::Lineage;

use crate::on_every_store;
use crate::world::*;

on_every_store!(a_store_keeps_its_id_and_gives_each_term_once);

async fn a_store_keeps_its_id_and_gives_each_term_once(world: World) {
    let id = world.store.info().id;
    assert!(!id.is_empty());
    assert_eq!(world.store.lineage().await.unwrap(), Lineage { id: id.clone(), term: 0 });
    let terms = futures_util::future::try_join_all((0..20).map(|_| world.store.next_term())).await.unwrap();
    assert_eq!(terms.into_iter().collect::<BTreeSet<_>>(), (1..=20).collect());
    assert_eq!(world.store.lineage().await.unwrap(), Lineage { id, term: 20 });
}
