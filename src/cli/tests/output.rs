use super::sample;
use crate::api::DurationMs;
use crate::api::http::{Runs, WorkerView, Workers};
use crate::cli::args::Format;
use crate::cli::commands::{get, list, result, workers};
use crate::cli::output::render;

#[test]
fn a_list_is_a_table_with_aligned_columns() {
    let now = sample::BEGAN.plus(DurationMs::from_secs(190));
    let version = sample::run().version.short().to_owned();
    let expected = format!(
        "ID        WORKFLOW       VERSION    STATUS    DOING     TURNS   AGE     TOOK\n\
         order-7   order-status   {version}   Running   waiting   2       3m10s   -\n\
         order-7   order-status   {version}   Failed    closed    2       3m10s   1.234s\n"
    );
    assert_eq!(list::rows(&[sample::run(), sample::failed()], now), expected);
}

#[test]
fn the_worker_s_table_shows_what_each_holds() {
    let workers = Workers {
        workers: vec![WorkerView {
            session: "w1-default-ab".into(),
            pool: Some("default".parse().unwrap()),
            leases: 41,
            turns: 1,
            activities: 40,
            draining: true,
        }],
    };
    assert_eq!(
        workers::rows(&workers),
        "SESSION         POOL      TURNS   ACTIVITIES   STATE\nw1-default-ab   default   1       40           draining\n"
    );
}

#[test]
fn a_run_is_described_with_what_it_waits_for() {
    let now = sample::BEGAN.plus(DurationMs::from_secs(5));
    let text = get::describe(&sample::run(), now, 80);
    let version = sample::run().version.short().to_owned();
    let expected = format!(
        "Run          order-7\n\
         Namespace    default\n\
         Workflow     order-status, version {version}, pool default\n\
         Status       Running (waiting)\n\
         Started      2026-11-23T10:00:00.000Z (5s ago)\n\
         Turns        2\n\
         Worker       w1-default-ab\n\
         Activities   #1 backing-off, attempt 3, for 5s; the attempt before: HttpError: 503\n\
         Input        {{\"zip\":\"10115\",\"amount\":1.50}}\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn json_is_the_shape_that_travels_and_keeps_payloads_to_the_letter() {
    let runs = Runs { runs: vec![sample::run()], cursor: String::new() };
    let text = render(Format::Json, &runs, String::new);
    assert!(text.contains("\"input\": {\"zip\":\"10115\",\"amount\":1.50}"), "{text}");
    assert_eq!(serde_json::from_str::<Runs>(&text).unwrap(), runs);
    assert!(text.starts_with("{\n  \"runs\": [\n    {\n      \"id\": \"order-7\",\n      \"namespace\": \"default\",\n"), "{text}");
}

#[test]
fn yaml_has_the_same_fields_in_the_same_order() {
    let text = render(Format::Yaml, &sample::run(), String::new);
    assert!(
        text.starts_with("id: order-7\nnamespace: default\nuid: 01900000-0000-7000-8000-000000000007\nworkflow: order-status\n"),
        "{text}"
    );
    assert!(text.contains("input:\n  zip: '10115'\n  amount: 1.5\n"), "{text}");
}

#[test]
fn a_failure_names_type_message_and_the_user_s_own_line() {
    let expected = "run order-7 ended Failed: HttpError: the answer was 402\n    at orderStatus (order-status.js:4:25)";
    assert_eq!(result::failure(&sample::failed()), expected);
}
