use std::time::Duration;

use serde_json::json;

use super::harness::{Server, config, serve, server};
use crate::api::Code;
use crate::client::{Client, ClientConfig, Patience};

fn client(server: &Server) -> Client {
    let patience = Patience { unreachable: Duration::ZERO, unanswered: Duration::ZERO };
    Client::new(ClientConfig { server: server.url.clone(), namespace: "default".parse().unwrap(), token: None, patience }).unwrap()
}

#[tokio::test]
async fn a_call_of_an_earlier_term_is_refused_by_every_replica_and_does_nothing() {
    let one = server().await;
    let two = serve(one.store.clone(), config()).await;
    one.apply().await;
    one.start("a").await;
    let id = "a".parse().unwrap();
    let old = client(&one).with_term(client(&one).next_term().await.unwrap());
    old.pause(&id, "").await.unwrap();
    let new = client(&two).with_term(client(&two).next_term().await.unwrap());
    let own = client(&two).leading();
    assert_eq!(own.run(&id).await.unwrap().status.as_str(), "Paused");
    assert_eq!(new.run(&id).await.unwrap_err().code(), Some(Code::OldTerm), "a leader's first call takes a term");
    for replica in [&one, &two] {
        let late = client(replica).with_term(1);
        let refused = late.terminate(&id, "").await.unwrap_err();
        assert_eq!(refused.code(), Some(Code::OldTerm), "{refused}");
        assert!(refused.to_string().contains("leads in term 3"), "{refused}");
    }
    assert_eq!(own.run(&id).await.unwrap().status.as_str(), "Paused");
    client(&one).run(&id).await.unwrap();
    let nonsense = one.http.get(format!("{}/v1/workers", one.url)).header("everloop-term", "first").send().await.unwrap();
    assert_eq!(nonsense.status().as_u16(), 400);
}

#[tokio::test]
async fn a_call_for_another_store_is_refused_and_does_nothing() {
    let (one, other) = (server().await, server().await);
    let ready = client(&one).ready().await.unwrap();
    let fenced = |server| client(server).with_store(&ready.store_id);
    one.apply().await;
    other.apply().await;
    let start = serde_json::from_value(json!({"workflow": "w", "id": "a"})).unwrap();
    fenced(&one).start(&start, "k").await.unwrap();
    let refused = fenced(&other).start(&start, "k").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::StoreChanged), "{refused}");
    assert_eq!(other.get("/v1/namespaces/default/runs").await.body["runs"], json!([]));
    assert_eq!(fenced(&other).next_term().await.unwrap_err().code(), Some(Code::StoreChanged));
}
