//! Against a server of a few lines that breaks on purpose.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::*;
use crate::api::http::Ready;
use crate::api::{Code, Json, Problem};

/// Answers the nth request with the nth answer; an empty one breaks the connection. Keeps what it was sent.
async fn server(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            log.lock().await.push(request);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, seen)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes).to_string();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ").map(|n| n.parse::<usize>().unwrap()));
        if n == 0 || body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn client(server: &str) -> Client {
    let patience = Patience { unreachable: Duration::ZERO, unanswered: Duration::from_secs(20) };
    Client::new(ClientConfig { server: server.into(), namespace: "shop".parse().unwrap(), token: Some("s3cret".into()), patience }).unwrap()
}

fn problem(code: Code) -> String {
    serde_json::to_string(&Problem::new(code, "because").next("do this")).unwrap()
}

fn header(request: &str, name: &str) -> Option<String> {
    request.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

#[tokio::test]
async fn an_unanswered_signal_is_sent_again_with_the_same_key_and_the_same_body() {
    let unavailable = answer("503 Service Unavailable", &problem(Code::StoreUnavailable));
    let (address, seen) = server(vec![String::new(), unavailable, answer("202 Accepted", "{}")]).await;
    client(&address).signal(&"a/b".parse().unwrap(), "go", &Json::checked("[1.0]").unwrap()).await.unwrap();
    let seen = seen.lock().await;
    assert_eq!(seen.len(), 3);
    let key = header(&seen[0], "idempotency-key").unwrap();
    for request in seen.iter() {
        assert!(request.starts_with("POST /v1/namespaces/shop/runs/a%2Fb/signals/go HTTP/1.1"), "{request}");
        assert_eq!(header(request, "idempotency-key").as_ref(), Some(&key));
        assert_eq!(header(request, "authorization").as_deref(), Some("Bearer s3cret"));
        assert!(request.ends_with("\r\n\r\n[1.0]"), "{request}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code_and_not_repeated() {
    let (address, seen) = server(vec![answer("404 Not Found", &problem(Code::RunNotFound))]).await;
    let error = client(&address).run(&"x".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::RunNotFound));
    assert_eq!(seen.lock().await.len(), 1);
}

#[tokio::test]
async fn an_address_where_nothing_listens_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&address).workers().await.unwrap_err();
    assert_eq!(error, ClientError::Unreachable { server: address, detail: "connection refused".into() });
}

#[tokio::test]
async fn another_program_at_the_address_is_no_refusal() {
    let (address, _) = server(vec![answer("404 Not Found", "<html>nothing here</html>")]).await;
    let error = client(&address).workflows().await.unwrap_err();
    assert!(matches!(&error, ClientError::Protocol { detail, .. } if detail.contains("<html>")), "{error:?}");
}

#[tokio::test]
async fn a_long_answer_is_read_whole() {
    let ready = Ready {
        ready: true,
        reason: "x".repeat(1 << 20),
        durability: "strict".into(),
        store: "file".into(),
        store_id: "1".into(),
        partitions: 16,
        version: "0".into(),
    };
    let (address, _) = server(vec![answer("200 OK", &serde_json::to_string(&ready).unwrap())]).await;
    assert_eq!(client(&address).ready().await.unwrap(), ready);
}

#[test]
fn an_address_without_a_scheme_is_refused_with_the_right_form() {
    for bad in ["127.0.0.1:7400", "localhost:7400", "", "ftp://x"] {
        let patience = Patience::default();
        let config = ClientConfig { server: bad.into(), namespace: "default".parse().unwrap(), token: None, patience };
        let error = Client::new(config).unwrap_err().to_string();
        assert!(error.contains("http://host:port"), "{bad}: {error}");
    }
}
