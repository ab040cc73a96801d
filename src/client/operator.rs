//! What operators ask, beside what everybody does.

use reqwest::Method;

use super::path::encode;
use super::send::Call;
use super::{Client, ClientError, new_key};
use crate::api::http::{Drain, Draining, Followed, FollowedRun, Held, HeldWorkflow, OpenRuns, OpenVersion, PoolLoad, Pools, Term};
use crate::api::{DurationMs, Json, Name};

/// The signals of pools are repeated after so long when nothing changes.
const POOLS_WAIT: DurationMs = DurationMs::from_secs(5);

fn drain(session: &str) -> String {
    format!("/v1/workers/{}/drain", encode(session))
}

impl Client {
    /// A term for an operator that has become the leader: from now on calls of lower terms are refused. Each call gives a higher one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next_term(&self) -> Result<u64, ClientError> {
        let call = Call::mutate(Method::POST, "/v1/operator/term".into(), new_key(), "application/json", "{}".into());
        self.call::<Term>(call).await.map(|given| given.term)
    }

    /// The workflows of all namespaces that somebody else than people holds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn held_workflows(&self) -> Result<Vec<HeldWorkflow>, ClientError> {
        self.call::<Held>(Call::get("/v1/operator/held".into())).await.map(|held| held.workflows)
    }

    /// What the pools have to do now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pools_now(&self) -> Result<Pools, ClientError> {
        self.call(Call::get("/v1/pools".into())).await
    }

    /// What one pool has to do now; all zero when nothing is known of it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pool(&self, pool: &Name) -> Result<PoolLoad, ClientError> {
        self.call(Call::get(format!("/v1/pools/{pool}"))).await
    }

    /// What the pools have to do, when that is another thing than what the mark `seen` stands for, or after some seconds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pools(&self, seen: &str) -> Result<Pools, ClientError> {
        self.call(Call::get(format!("/v1/pools?seen={}&wait={POOLS_WAIT}", encode(seen))).waiting(POOLS_WAIT)).await
    }

    /// Has a worker finish what it has, by its session: for `ttl` nothing new is granted to it. A repeat counts from then on.
    ///
    /// # Errors
    /// See [`ClientError`]; `SessionLost`.
    pub async fn drain_worker(&self, session: &str, ttl: DurationMs) -> Result<(), ClientError> {
        let body = Json::of(&Drain { ttl }).get().to_owned();
        self.call::<Draining>(Call::mutate(Method::PUT, drain(session), new_key(), "application/json", body)).await.map(|_| ())
    }

    /// Takes that back.
    ///
    /// # Errors
    /// See [`ClientError`]; `SessionLost`.
    pub async fn work_on(&self, session: &str) -> Result<(), ClientError> {
        self.call_unit(Call::mutate(Method::DELETE, drain(session), new_key(), "application/json", String::new())).await
    }

    /// How many runs of each version are open, in all namespaces.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn open_runs(&self) -> Result<Vec<OpenVersion>, ClientError> {
        self.call::<OpenRuns>(Call::get("/v1/operator/open-runs".into())).await.map(|open| open.versions)
    }

    /// All open runs with an origin, of all namespaces, page by page. One that ends meanwhile may be among them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn followed_runs(&self) -> Result<Vec<FollowedRun>, ClientError> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page: Followed = self.call(Call::get(format!("/v1/operator/followed?cursor={}", encode(&cursor)))).await?;
            all.extend(page.runs);
            if page.cursor.is_empty() {
                return Ok(all);
            }
            cursor = page.cursor;
        }
    }
}
