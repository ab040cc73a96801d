//! Runs that an older program began: their records stand in the server as it wrote them.

use everloop::api::RunStatus;
use everloop::machine::record::RunRecord;
use everloop::machine::run::Phase;
use everloop::store::op::*;

use super::OnRedis;
use crate::world::*;

impl OnRedis {
    /// The record of a run, as if a program had written it that knows only this format.
    fn write_in(&self, id: &str, format: u8) {
        let key = self.keys(&format!("*:r:{}", run(id))).remove(0);
        let bytes: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut self.server.connection()).unwrap();
        let record = RunRecord::decode(&bytes).unwrap();
        let old = RunRecord { format, ..record }.encode();
        redis::cmd("SET").arg(&key).arg(old).exec(&mut self.server.connection()).unwrap();
    }
}

#[tokio::test]
async fn a_run_of_each_older_format_goes_on_to_its_end_in_it() {
    for format in [1, 2] {
        let world = OnRedis::new().await;
        let grant = world.leased("a", "s1", 10).await;
        world.write_in("a", format);
        let turn = Turn { timers: vec![timer(1, 50)], ..scheduling(&grant.record.head, 2, &[0]) };
        let attempt = accepted(world.commit("a", "s1", 1, turn, 20, offer("s1", 2, 0, 1)).await).attempts.remove(0);
        let uid = "0190f3a0-0000-7000-8000-0123456789ab".parse().unwrap();
        assert_eq!((&attempt.uid, &attempt.version), (&uid, &world.version));
        assert_eq!(world.store.journal(&run("a"), 0, usize::MAX).await.unwrap().unwrap().uid, uid.to_string());
        let next = Turn { consumed: 0, ..scheduling("0000000000000002", 3, &[2]) };
        let (taken, mut grants) = finished(world.finish("a", claim_of(&attempt.attempt), Some(next), 30, offer("s1", 3, 0, 1)).await);
        assert_eq!((taken, grants.attempts.len()), (Some(Ok(())), 1));
        let fired = world.fire_to("a", 60, offer("s1", 4, 1, 0)).await;
        assert_eq!((fired.timers, fired.grants.turns.len()), (1, 1), "its timer is known by its uid's end");
        let moved = ControlKind::Resume { version: Some(world.version.clone()) };
        assert!(matches!(world.control("a", ControlKind::Pause { blocked: PAUSED.into() }, 4, 61).await, Controlled::Done(_)));
        assert!(matches!(world.control("a", moved, 5, 62).await, Controlled::Done(_)));
        assert_eq!(world.record("a").await.version, world.version.to_string());
        let turn = world.claim("a", "s1", 5, 1, 0, 200).await.turns.remove(0);
        accepted(world.commit("a", "s1", 5, closing(&turn.record.head, 6), 210, None).await);
        let record = world.record("a").await;
        assert_eq!((record.format, record.phase, record.status()), (format, Phase::Closed, RunStatus::Completed));
        assert!(world.open_runs().await.is_empty(), "it is counted under its version");
        drop(grants.attempts.remove(0));
    }
}

#[tokio::test]
async fn a_run_of_the_first_format_that_gets_a_follower_is_written_in_the_second() {
    let world = OnRedis::new().await;
    world.start("a", 10).await;
    world.write_in("a", 1);
    let start = Start { origin: Some("kubernetes/1".parse().unwrap()), ..world.start_of("a", 11) };
    let Started::Existing(record) = world.store.start(start).await.unwrap() else { panic!("it exists") };
    assert_eq!((record.format, record.origin.as_str()), (2, "kubernetes/1"));
    assert_eq!(world.record("a").await, record);
}
