//! The feed of changes: what became of the runs that somebody follows, without asking for each.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use rand::RngExt as _;
use serde::Deserialize;

use crate::api::http::{Change, Changes};
use crate::api::{Code, DurationMs, Partition, Problem, limits};
use crate::queue::border::extract::{Params, wait};
use crate::queue::border::problem::{Answer, Refused};
use crate::queue::service::{Service, Shared};
use crate::queue::view;
use crate::store::op;

/// The query of the feed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    cursor: String,
    wait: Option<DurationMs>,
}

/// Changes are published, but a word can be missed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// `GET /v1/changes?cursor=&wait=`: what has changed since the cursor; without one, where the feed ends now. Any replica answers.
pub async fn changes(State(service): State<Shared>, Params(query): Params<Query>) -> Answer<Json<Changes>> {
    let mut cursor = match query.cursor.as_str() {
        "" => return Ok(Json(Changes { cursor: service.end_of_feed().await?.to_string(), changes: Vec::new() })),
        text => service.cursor(text)?,
    };
    let until = Instant::now() + wait(query.wait);
    let mut changes = Vec::new();
    let mut stale: Vec<Partition> = service.partitions().collect();
    let mut seen = service.feeds.so_far();
    loop {
        let mut told = std::pin::pin!(service.feeds.changed().notified());
        told.as_mut().enable();
        service.read_feed(&mut cursor, &stale, &mut changes).await?;
        let now = Instant::now();
        if !changes.is_empty() || now >= until || service.shutdown.is_cancelled() {
            service.metrics.changes.inc_by(changes.len() as u64);
            return Ok(Json(Changes { cursor: cursor.to_string(), changes }));
        }
        let so_far = service.feeds.so_far();
        if so_far == seen {
            let look = now + LOOK_EVERY;
            tokio::select! {
                () = told => {}
                () = tokio::time::sleep_until(until.min(look).into()) => {}
                () = service.shutdown.cancelled() => {}
            }
        }
        let so_far = service.feeds.so_far();
        stale = service.partitions().filter(|place| so_far.get(usize::from(place.0)) != seen.get(usize::from(place.0))).collect();
        if stale.is_empty() {
            stale = service.partitions().collect();
        }
        seen = so_far;
    }
}

/// A place in the feed of each partition of one store.
struct Cursor {
    store: String,
    places: Vec<u64>,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.store)?;
        self.places.iter().try_for_each(|place| write!(f, ".{place}"))
    }
}

impl Service {
    async fn end_of_feed(&self) -> Result<Cursor, Refused> {
        let ends = self.partitions().map(|partition| self.store.changes(partition, None));
        let places = futures_util::future::try_join_all(ends).await?.into_iter().map(|end| match end {
            op::Changes::Told { place, .. } => place,
            op::Changes::TooOld => 0,
        });
        Ok(Cursor { store: self.info.id.clone(), places: places.collect() })
    }

    /// Reads a cursor, which must be one of this store.
    fn cursor(&self, text: &str) -> Result<Cursor, Refused> {
        let (store, places) = text.split_once('.').unwrap_or((text, ""));
        let places = places.split('.').map(str::parse).collect::<Result<Vec<u64>, _>>();
        let Ok(places) = places else {
            let problem = Problem::new(Code::InvalidRequest, format!("the cursor {text:?} is none of this route"));
            return Err(problem.next("give the cursor of the answer before, or none").into());
        };
        if store != self.info.id || places.len() != usize::from(self.info.partitions) {
            return Err(self.too_old("the cursor is of another store"));
        }
        Ok(Cursor { store: store.to_owned(), places })
    }

    fn too_old(&self, why: &str) -> Refused {
        self.metrics.changes_too_old.inc();
        Problem::new(Code::ChangesTooOld, why).next("ask without a cursor, then look at every run that you follow").into()
    }

    /// Reads what is new in these partitions, as much as one answer carries. It begins anywhere, so that a busy one stops no other.
    async fn read_feed(&self, cursor: &mut Cursor, stale: &[Partition], changes: &mut Vec<Change>) -> Result<(), Refused> {
        let (mut bytes, from) = (0, rand::rng().random_range(0..stale.len().max(1)));
        for partition in stale.iter().cycle().skip(from).take(stale.len()) {
            let Some(place) = cursor.places.get_mut(usize::from(partition.0)) else { continue };
            if bytes >= limits::CHANGES_PAGE_BYTES {
                return Ok(());
            }
            let op::Changes::Told { place: next, runs, .. } = self.store.changes(*partition, Some(*place)).await? else {
                let kept = limits::CHANGES_KEPT;
                return Err(self.too_old(&format!("the feed keeps the last {kept} changes of a partition, and the cursor is further back")));
            };
            for change in runs {
                bytes += change.last.len();
                changes.push(Change { namespace: change.run.namespace.clone(), id: change.run.id.clone(), run: view::changed(&change)? });
            }
            *place = next;
        }
        Ok(())
    }
}
