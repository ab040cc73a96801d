//! A client of a few lines over keep-alive connections, so that what is measured is the service and not its client.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Servers close connections that are idle for longer.
const IDLE_MAX: Duration = Duration::from_mins(1);

pub struct Client {
    address: String,
    /// Since when.
    idle: RefCell<Vec<(TcpStream, Instant)>>,
}

impl Client {
    pub fn new(port: u16) -> Self {
        Self { address: format!("127.0.0.1:{port}"), idle: RefCell::default() }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call("GET", path, "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", path, &body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Value {
        self.call("PUT", path, &body.to_string()).await
    }

    /// The body of a successful answer; anything else ends the benchmark.
    async fn call(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, answer) = self.exchange(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// Status and body of any answer.
    pub async fn exchange(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let idle = self.idle.borrow_mut().pop();
        let mut connection = match idle {
            Some((connection, since)) if since.elapsed() < IDLE_MAX => connection,
            _ => TcpStream::connect(&self.address).await.expect("the service listens"),
        };
        connection.set_nodelay(true).expect("a TCP connection");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}",
            self.address
        );
        connection.write_all(request.as_bytes()).await.expect("the service reads");
        let mut answer = Vec::with_capacity(1_024);
        let (head, length) = loop {
            let read = connection.read_buf(&mut answer).await.expect("the service answers");
            assert!(read > 0, "{path}: the service hung up: {}", String::from_utf8_lossy(&answer));
            if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = std::str::from_utf8(&answer[..end]).expect("text").to_ascii_lowercase();
                // 204 has none.
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                break (end + 4, length.parse::<usize>().expect("a number"));
            }
        };
        while answer.len() < head + length {
            assert!(connection.read_buf(&mut answer).await.expect("the service answers") > 0, "{path}: half an answer");
        }
        let status = answer.get(9..12).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{path}: {}", String::from_utf8_lossy(&answer)));
        self.idle.borrow_mut().push((connection, Instant::now()));
        if length == 0 {
            return (status, Value::Null);
        }
        (status, serde_json::from_slice(&answer[head..]).unwrap_or_else(|e| panic!("{path}: {e}")))
    }
}
