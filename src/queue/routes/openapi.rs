//! `/openapi.json`: what every route takes and gives. Shapes come from the types of `api`; the routes stand in one table here,
//! which a test holds against the router.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::definition::Workflow;
use crate::api::{Definition, Problem, RunView, http, worker};

/// `GET /openapi.json`.
pub async fn route() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(openapi);
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// The document, indented, with a line feed at its end.
///
/// # Panics
/// Never: it is made of literals and of schemas that are JSON.
#[must_use]
pub fn openapi() -> String {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<&str, serde_json::Map<String, Value>> = BTreeMap::new();
    for route in routes(&mut schemas) {
        paths.entry(route.path).or_default().insert(route.method.to_owned(), route.describe());
    }
    let problem = schemas.name::<Problem>();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Everloop",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The queue service. An unanswered request is unknown, never refused: repeat it with the same Idempotency-Key.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "responses": {"Problem": {
                "description": "Refused: `code` says why, `next` what to do.",
                "content": {"application/problem+json": {"schema": reference(&problem)}},
            }},
            "schemas": schemas.0,
        },
    });
    plain_numbers(&mut document);
    let mut text = serde_json::to_string_pretty(&document).expect("values are JSON");
    text.push('\n');
    text
}

/// Schemas by name.
#[derive(Default)]
struct Schemas(BTreeMap<String, RefOr<Schema>>);

impl Schemas {
    /// Registers a type and all that it is made of.
    fn name<T: ToSchema>(&mut self) -> String {
        let mut parts = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut parts);
        self.0.extend(parts.into_iter().filter(|(name, _)| !PRIMITIVES.contains(&name.as_str())));
        T::name().into_owned()
    }
}

/// Names that aliases such as `Seq` resolve to.
const PRIMITIVES: [&str; 2] = ["u32", "u64"];

/// Puts numbers where aliases of them made references.
fn plain_numbers(value: &mut Value) {
    let alias =
        value.get("$ref").and_then(Value::as_str).and_then(|name| PRIMITIVES.into_iter().find(|p| name.ends_with(&format!("/{p}"))));
    match (alias, &mut *value) {
        (Some("u32"), _) => *value = json!(u32::schema()),
        (Some(_), _) => *value = json!(u64::schema()),
        (None, Value::Array(values)) => values.iter_mut().for_each(plain_numbers),
        (None, Value::Object(fields)) => fields.values_mut().for_each(plain_numbers),
        (None, _) => {}
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// What a body or an answer holds.
enum Shape {
    /// Nothing.
    None,
    /// A type of `api`, by name.
    Typed(String),
    /// A payload: any JSON value.
    Payload,
    /// Text of this media type.
    Text(&'static str),
    /// Lines of a type, as JSON.
    Lines(String),
}

impl Shape {
    fn content(&self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Typed(name) => Some(json!({"application/json": {"schema": reference(name)}})),
            Self::Payload => Some(json!({"application/json": {"schema": {"description": "Any JSON value."}}})),
            Self::Text(media) => Some(json!({*media: {"schema": {"type": "string"}}})),
            Self::Lines(name) => Some(json!({"application/x-ndjson": {"schema": reference(name)}})),
        }
    }
}

struct Route {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    /// Why a repeat is safe without an idempotency key; empty when it takes a key.
    repeat: &'static str,
    body: Shape,
    status: u16,
    answer: Shape,
}

impl Route {
    fn describe(&self) -> Value {
        let in_path = self.path.split('{').skip(1).filter_map(|part| part.split('}').next());
        let mut parameters: Vec<Value> =
            in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})).collect();
        let query = |(name, description): &(&str, &str)| json!({"name": name, "in": "query", "required": false, "description": description, "schema": {"type": "string"}});
        parameters.extend(self.query.iter().map(query));
        if matches!(self.method, "post" | "put") && self.repeat.is_empty() {
            let description = "Names the request: a repeat with the same key is answered as the first one.";
            let schema = json!({"type": "string", "maxLength": crate::api::limits::IDEMPOTENCY_KEY_BYTES_MAX});
            parameters
                .push(json!({"name": "Idempotency-Key", "in": "header", "required": false, "description": description, "schema": schema}));
        }
        let mut answer = json!({"description": "Done."});
        if let Some(content) = self.answer.content() {
            answer["content"] = content;
        }
        let mut operation = json!({
            "summary": self.summary,
            "parameters": parameters,
            "responses": {self.status.to_string(): answer, "default": {"$ref": "#/components/responses/Problem"}},
        });
        if !self.repeat.is_empty() {
            operation["description"] = json!(self.repeat);
        }
        if let Some(content) = self.body.content() {
            operation["requestBody"] = json!({"content": content});
        }
        operation
    }
}

/// Of requests that have a number in their session.
const NUMBERED: &str = "Repeat it with the same `seq`: it is done once, and what it was granted is granted again.";
const SAFE: &str = "A repeat does no harm.";
const WAIT: (&str, &str) = ("wait", "How long to wait, such as 30s; at most 60s.");

const HOLDER: (&str, &str) = ("holder", "Who asks and holds it from then on; without it: people.");

fn routes(schemas: &mut Schemas) -> Vec<Route> {
    let mut of = Of(schemas, Vec::new());
    people(&mut of);
    tasks(&mut of);
    workers(&mut of);
    of.1
}

/// Collects routes.
struct Of<'a>(&'a mut Schemas, Vec<Route>);

impl Of<'_> {
    fn typed<T: ToSchema>(&mut self) -> Shape {
        Shape::Typed(self.0.name::<T>())
    }

    /// A route, to be given its parts.
    fn add(
        &mut self,
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        body: Shape,
        status: u16,
        answer: Shape,
    ) -> &mut Route {
        self.1.push(Route { method, path, summary, query: &[], repeat: "", body, status, answer });
        self.1.last_mut().expect("it was pushed just now")
    }

    fn get<T: ToSchema>(&mut self, path: &'static str, summary: &'static str) -> &mut Route {
        let answer = self.typed::<T>();
        self.add("get", path, summary, Shape::None, 200, answer)
    }

    fn send<B: ToSchema, T: ToSchema>(
        &mut self,
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        status: u16,
    ) -> &mut Route {
        let (body, answer) = (self.typed::<B>(), self.typed::<T>());
        self.add(method, path, summary, body, status, answer)
    }
}

fn people(of: &mut Of<'_>) {
    let name = "/v1/namespaces/{ns}/workflows/{name}";
    of.send::<Workflow, http::Applied>("put", name, "Checks a definition and makes it the workflow's current version.", 200).query =
        &[HOLDER];
    let retired = of.typed::<http::WorkflowView>();
    of.add(
        "delete",
        name,
        "Retires a workflow: no new runs, the open ones go on. Applying it again revives it.",
        Shape::None,
        200,
        retired,
    )
    .query = &[HOLDER];
    of.get::<http::WorkflowView>(name, "A workflow with its definition.");
    of.get::<http::Workflows>("/v1/namespaces/{ns}/workflows", "All workflows of a namespace.");
    of.get::<Definition>("/v1/versions/{version}", "The definition of a version.");
    let runs = "/v1/namespaces/{ns}/runs";
    of.send::<http::StartRun, RunView>("post", runs, "Starts a run; 200 when an equal start was accepted before.", 201).query = &[WAIT];
    of.get::<http::Runs>(runs, "Runs, newest first.").query = &[
        ("workflow", "Only of this workflow."),
        ("status", "Only in this status."),
        ("limit", "At most so many, 1 to 1000; default 100."),
        ("cursor", "From the page before."),
    ];
    of.get::<RunView>("/v1/namespaces/{ns}/runs/{id}", "A run; a `/` in its id is written %2F.").query = &[WAIT];
    of.get::<http::Journal>("/v1/namespaces/{ns}/runs/{id}/journal", "Committed turns.").query =
        &[("from", "The first entry, from 0."), WAIT];
    of.get::<http::Changes>("/v1/changes", "Runs with an origin that have changed since the cursor, each as it is now.").query =
        &[("cursor", "Of the answer before; without one the feed's end is told."), WAIT];
    let term = of.typed::<http::Term>();
    let path = "/v1/operator/term";
    of.add("post", path, "A term for an operator that leads: requests of lower ones are refused.", Shape::None, 200, term).repeat =
        "A repeat gives another, higher term.";
    of.get::<http::Held>("/v1/operator/held", "Workflows of all namespaces that somebody else than people holds.");
    of.get::<http::OpenRuns>("/v1/operator/open-runs", "How many runs of each version are open, in all namespaces.");
    of.get::<http::Followed>("/v1/operator/followed", "Open runs with an origin, in all namespaces.").query =
        &[("cursor", "Of the page before.")];
    of.get::<http::Pools>("/v1/pools", "What the pools have to do; with `seen` and `wait` when that has changed.").query =
        &[("seen", "The mark of the answer before."), WAIT];
    of.get::<http::PoolLoad>("/v1/pools/{pool}", "What one pool has to do.");
    let signal = of.typed::<http::Accepted>();
    let path = "/v1/namespaces/{ns}/runs/{id}/signals/{name}";
    of.add("post", path, "Sends a signal; the body is its payload.", Shape::Payload, 202, signal);
    of.send::<http::Reason, http::Accepted>("post", "/v1/namespaces/{ns}/runs/{id}/cancel", "Asks the run to end in order.", 202);
    of.send::<http::Reason, RunView>("post", "/v1/namespaces/{ns}/runs/{id}/terminate", "Ends the run at once.", 200);
    of.send::<http::Pause, RunView>("post", "/v1/namespaces/{ns}/runs/{id}/pause", "Holds the run.", 200);
    of.send::<http::Resume, RunView>("post", "/v1/namespaces/{ns}/runs/{id}/resume", "Lets a paused or blocked run go on.", 200);
}

fn tasks(of: &mut Of<'_>) {
    of.send::<http::PollQueue, http::Tasks>("post", "/v1/namespaces/{ns}/queues/{queue}/poll", "Takes tasks of a queue.", 200);
    let complete = "/v1/activities/{token}/complete";
    of.add("post", complete, "Completes a task; the body is its result.", Shape::Payload, 204, Shape::None);
    let fail = of.typed::<http::FailTask>();
    of.add("post", "/v1/activities/{token}/fail", "Fails a task.", fail, 204, Shape::None);
    let many = "Completes and fails tasks, with an answer for each.";
    of.send::<http::SettleTasks, http::SettledTasks>("post", "/v1/activities/settle", many, 200);
    let extended = of.typed::<http::Extended>();
    of.add("post", "/v1/activities/{token}/heartbeat", "Moves a task's deadline.", Shape::None, 200, extended).repeat = SAFE;
}

fn workers(of: &mut Of<'_>) {
    of.get::<http::Workers>("/v1/workers", "Sessions of workers, with their leases.").query = &[("pool", "Only of this pool.")];
    let drain = "/v1/workers/{id}/drain";
    of.send::<http::Drain, http::Draining>("put", drain, "Grants nothing new to a worker for so long, and tells it.", 200).repeat = SAFE;
    of.add("delete", drain, "Lets a worker that was to be drained work on.", Shape::None, 204, Shape::None).repeat = SAFE;
    of.send::<worker::OpenSession, worker::SessionOpened>("post", "/v1/worker/session", "Opens a session.", 201);
    of.add("delete", "/v1/worker/session/{id}", "Says goodbye: all leases go back.", Shape::None, 204, Shape::None).repeat = SAFE;
    of.send::<worker::Renew, worker::Renewed>("post", "/v1/worker/session/{id}/renew", "Renews the session.", 200).repeat = SAFE;
    of.get::<worker::Leases>("/v1/worker/session/{id}/leases", "What is leased to the session.");
    let line = Shape::Lines(of.0.name::<worker::Renewed>());
    let stream = "/v1/worker/session/{id}/stream";
    of.add("get", stream, "Lines, while worker and replica are there.", Shape::None, 200, line);
    of.send::<worker::Poll, worker::Work>("post", "/v1/worker/poll", "Offers free slots and waits for work.", 200).repeat = NUMBERED;
    of.send::<worker::CommitRequest, worker::CommitAnswer>("post", "/v1/worker/commit", "Commits turns and outcomes.", 200).repeat =
        NUMBERED;
    of.add("get", "/healthz", "The process runs.", Shape::None, 200, Shape::Text("text/plain"));
    of.get::<http::Ready>("/readyz", "Whether this replica takes requests; 503 when it does not.");
    of.add("get", "/metrics", "Metrics in the OpenMetrics format.", Shape::None, 200, Shape::Text("application/openmetrics-text"));
    of.add("get", "/openapi.json", "This document.", Shape::None, 200, Shape::Text("application/json"));
}
