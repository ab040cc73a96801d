//! Reading runs.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::api::http::Runs;
use crate::api::{Code, DurationMs, Name, Problem, RunKey, RunStatus, RunView, limits};
use crate::queue::border::extract::{Namespace, Params, RunPath, wait};
use crate::queue::border::problem::{Answer, Refused, run_not_found};
use crate::queue::service::{Service, Shared};
use crate::queue::view;
use crate::queue::watchers::{News, Watch};
use crate::store::op::{List, RunState};

/// The query of a run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    wait: Option<DurationMs>,
}

/// The query of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    workflow: Option<Name>,
    status: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    cursor: String,
}

/// Runs in a page when the client does not say.
const LIST_PAGE: usize = 100;
/// The end of a run is published, but a word can be missed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// `GET /v1/namespaces/{ns}/runs/{id}`; with `?wait=` it answers when the run has ended, or after that time.
pub async fn get(State(service): State<Shared>, RunPath { run }: RunPath, Params(query): Params<Query>) -> Answer<Json<RunView>> {
    wait_for_end(&service, &run, wait(query.wait), None).await.map(Json)
}

/// The run, as soon as it has ended, or as it is after `wait`. `known`: as it is now, when the caller knows that.
pub async fn wait_for_end(service: &Service, run: &RunKey, wait: Duration, known: Option<(Watch, RunView)>) -> Result<RunView, Refused> {
    let until = Instant::now() + wait;
    let (watch, mut known) = match known {
        Some((watch, view)) => (watch, Some(view)),
        None => (service.watchers.watch(run, News::End), None),
    };
    loop {
        let mut told = std::pin::pin!(watch.changed.notified());
        told.as_mut().enable();
        let view = match known.take() {
            Some(view) => view,
            None => view::whole(run, &service.store.run(run).await?.ok_or_else(|| run_not_found(run))?)?,
        };
        if let Some(ended) = watch.ended().filter(|_| !view.status.is_closed()) {
            return Ok(view::ended(view, &ended));
        }
        let now = Instant::now();
        if view.status.is_closed() || now >= until || service.shutdown.is_cancelled() {
            return Ok(view);
        }
        tokio::select! {
            () = told => known = watch.ended().map(|_| view),
            () = tokio::time::sleep_until(until.min(now + LOOK_EVERY).into()) => {}
            () = service.shutdown.cancelled() => {}
        }
    }
}

/// Waits until the run has ended or `enough` is true, at most for `wait`.
pub async fn wait_until(
    service: &Service,
    run: &RunKey,
    wait: Duration,
    look_every: Duration,
    enough: impl Fn(&RunState) -> bool,
) -> Result<(), Refused> {
    let until = Instant::now() + wait;
    let watch = service.watchers.watch(run, News::Turn);
    loop {
        let mut told = std::pin::pin!(watch.changed.notified());
        told.as_mut().enable();
        let state = service.store.run(run).await?.ok_or_else(|| run_not_found(run))?;
        let now = Instant::now();
        if state.record.status().is_closed() || enough(&state) || now >= until || service.shutdown.is_cancelled() {
            return Ok(());
        }
        tokio::select! {
            () = told => {}
            () = tokio::time::sleep_until(until.min(now + look_every).into()) => {}
            () = service.shutdown.cancelled() => {}
        }
    }
}

/// `GET /v1/namespaces/{ns}/runs?workflow=&status=&limit=&cursor=`.
pub async fn list(
    State(service): State<Shared>,
    Namespace { name: namespace }: Namespace,
    Params(query): Params<ListQuery>,
) -> Answer<Json<Runs>> {
    let status = query.status.as_deref().map(status).transpose()?;
    let limit = query.limit.unwrap_or(LIST_PAGE);
    if !(1..=limits::LIST_PAGE_MAX).contains(&limit) {
        let detail = format!("limit is {limit}; a page has 1 to {} runs", limits::LIST_PAGE_MAX);
        return Err(Problem::new(Code::InvalidRequest, detail).next("ask for less, and for the next page with `cursor`").into());
    }
    let listed = service.store.list(List { namespace, workflow: query.workflow, status, limit, cursor: query.cursor }).await?;
    let runs = listed.runs.iter().map(|(run, record)| view::summary(run, record)).collect::<Result<_, _>>()?;
    Ok(Json(Runs { runs, cursor: listed.cursor }))
}

fn status(text: &str) -> Result<RunStatus, Refused> {
    let found = RunStatus::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let names: Vec<_> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
        Problem::new(Code::InvalidRequest, format!("there is no status {text:?}")).next(format!("use one of {}", names.join(", "))).into()
    })
}
