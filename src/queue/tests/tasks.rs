use serde_json::{Value, json};

use super::harness::{Server, Worker, schedule, server};

async fn task(server: &Server) -> Value {
    let answer = server.post("/v1/namespaces/default/queues/tasks/poll", &json!({"wait": "20s"})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["tasks"][0].clone()
}

/// A run that has asked for so many tasks at once.
async fn scheduled(server: &Server, tasks: usize) -> Worker<'_> {
    server.apply().await;
    server.start("a").await;
    let worker = Worker::open(server).await;
    let turn = worker.turn().await;
    assert_eq!(worker.took(&turn, json!(vec![schedule("task"); tasks])).await.activities, [], "it is not the pool's");
    worker
}

#[tokio::test]
async fn a_program_takes_a_task_and_completes_it_by_its_token() {
    let server = server().await;
    let worker = scheduled(&server, 1).await;
    let task = task(&server).await;
    assert_eq!((&task["name"], &task["argument"], &task["attempt"]), (&json!("task"), &json!({"z": 1}), &json!(1)));
    assert_eq!(task["run"], "a");
    let path = |what: &str| format!("/v1/activities/{}/{what}", task["token"].as_str().unwrap());
    let beat = server.post(&path("heartbeat"), &json!({})).await;
    assert!(beat.body["deadline"].as_u64() >= task["deadline"].as_u64(), "{}", beat.body);
    let (work, done) = tokio::join!(worker.poll(), server.post(&path("complete"), &json!({"at": 5})));
    assert_eq!(done.status, 204, "{}", done.body);
    assert_eq!(work.turns[0].events[0].get(), r#"{"ActivityCompleted":{"command":0,"attempt":1,"result":{"at":5}}}"#);
    let again = server.post(&path("complete"), &json!({"at": 5})).await;
    assert_eq!(again.status, 204, "a repeat, whose first answer may have been lost: {}", again.body);
    let otherwise = server.post(&path("fail"), &json!({"type": "T", "message": "m"})).await;
    assert_eq!((otherwise.status, &otherwise.body["code"]), (409, &json!("AttemptLost")));
    assert_eq!(server.post(&path("heartbeat"), &json!({})).await.body["code"], "AttemptLost");
}

#[tokio::test]
async fn many_tasks_are_settled_in_one_request_with_an_answer_for_each() {
    let server = server().await;
    let worker = scheduled(&server, 3).await;
    let polled = server.post("/v1/namespaces/default/queues/tasks/poll", &json!({"wait": "20s", "max": 10})).await;
    let token = |place: usize| polled.body["tasks"][place]["token"].clone();
    let error = json!({"type": "T", "message": "m", "retryable": false});
    let settle = json!({"tasks": [
        {"token": token(0), "result": {"at": 5}},
        {"token": "none", "result": 1},
        {"token": token(1), "error": error},
        {"token": token(2), "error": error, "result": 1},
        {"token": token(2)},
        {"token": token(0), "result": {"at": 5}},
        {"token": token(0), "error": error},
    ]});
    let (work, answer) = tokio::join!(worker.poll(), server.post("/v1/activities/settle", &settle));
    let told: Vec<_> = answer.body["tasks"].as_array().unwrap().iter().map(|task| task["problem"]["code"].as_str().unwrap_or("")).collect();
    assert_eq!(told, ["", "InvalidRequest", "", "InvalidRequest", "", "", "AttemptLost"], "{}", answer.body);
    assert_eq!(server.store.counts().get("settle"), Some(&1), "those of one run go together");
    assert!(answer.body["tasks"].as_array().unwrap().iter().zip(&told).all(|(task, told)| task["settled"] == json!(told.is_empty())));
    let (mut turn, mut events) = (work.turns[0].clone(), Vec::new());
    loop {
        events.extend(turn.events.iter().map(|event| event.get().to_owned()));
        if events.len() == 3 {
            break;
        }
        worker.took(&turn, json!([])).await;
        turn = worker.turn().await;
    }
    assert_eq!(events[0], r#"{"ActivityCompleted":{"command":0,"attempt":1,"result":{"at":5}}}"#);
    assert!(events[1].starts_with(r#"{"ActivityFailed":{"command":1,"#), "{}", events[1]);
    assert_eq!(events[2], r#"{"ActivityCompleted":{"command":2,"attempt":1,"result":null}}"#);
    for (count, allowed) in [(0, false), (256, true), (257, false)] {
        let many = json!({"tasks": vec![json!({"token": token(0), "result": {"at": 5}}); count]});
        assert_eq!(server.post("/v1/activities/settle", &many).await.status, if allowed { 200 } else { 400 }, "{count}");
    }
}

#[tokio::test]
async fn a_poll_repeated_with_its_key_is_given_the_same_tasks() {
    let server = server().await;
    let _worker = scheduled(&server, 1).await;
    let poll = json!({"wait": "20s"});
    let first = server.post_with_key("/v1/namespaces/default/queues/tasks/poll", "k", &poll).await;
    let again = server.post_with_key("/v1/namespaces/default/queues/tasks/poll", "k", &poll).await;
    assert_eq!((&first.body, first.body["tasks"].as_array().unwrap().len()), (&again.body, 1));
    let other = server.post_with_key("/v1/namespaces/default/queues/tasks/poll", "l", &json!({"wait": "0s"})).await;
    assert_eq!(other.body, json!({"tasks": []}));
}

#[tokio::test]
async fn what_a_program_that_has_gone_was_to_be_given_goes_to_the_next_one() {
    let server = server().await;
    server.apply().await;
    let gone = server.http.post(format!("{}/v1/namespaces/default/queues/tasks/poll", server.url)).json(&json!({"wait": "20s"}));
    // It goes away while it waits.
    assert!(gone.timeout(std::time::Duration::from_millis(200)).send().await.unwrap_err().is_timeout());
    server.start("a").await;
    let worker = Worker::open(&server).await;
    let turn = worker.turn().await;
    worker.took(&turn, json!([schedule("task")])).await;
    assert_eq!(task(&server).await["attempt"], 1);
}

#[tokio::test]
async fn a_failed_task_is_tried_again_until_it_says_that_this_is_useless() {
    let server = server().await;
    let worker = scheduled(&server, 1).await;
    let first = task(&server).await;
    let path = |task: &Value| format!("/v1/activities/{}/fail", task["token"].as_str().unwrap());
    let failed = server.post(&path(&first), &json!({"type": "Busy", "message": "later"})).await;
    assert_eq!(failed.status, 204, "{}", failed.body);
    let second = task(&server).await;
    assert_eq!((&second["attempt"], &second["idempotencyKey"]), (&json!(2), &first["idempotencyKey"]));
    assert!(first["idempotencyKey"].as_str().unwrap().ends_with("/0"), "{first}");
    let last = json!({"type": "Gone", "message": "never", "retryable": false});
    let (work, _) = tokio::join!(worker.poll(), server.post(&path(&second), &last));
    let event = work.turns[0].events[0].get();
    assert_eq!(event, r#"{"ActivityFailed":{"command":0,"attempt":2,"error":{"type":"Gone","message":"never"}}}"#);
}

#[tokio::test]
async fn an_empty_queue_answers_with_nothing_and_bad_tokens_are_refused() {
    let server = server().await;
    let empty = server.post("/v1/namespaces/default/queues/tasks/poll", &json!({"wait": "0s"})).await;
    assert_eq!((empty.status, empty.body), (200, json!({"tasks": []})));
    for what in ["complete", "fail", "heartbeat"] {
        let body = json!({"type": "T", "message": "m"});
        assert_eq!(server.post(&format!("/v1/activities/xyz/{what}"), &body).await.body["code"], "InvalidRequest", "{what}");
    }
}
