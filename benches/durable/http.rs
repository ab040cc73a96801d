//! A client of a few lines over keep-alive connections, so that what is measured is the service and not its client.

use std::cell::RefCell;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Client {
    address: String,
    idle: RefCell<Vec<TcpStream>>,
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
        let idle = self.idle.borrow_mut().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => TcpStream::connect(&self.address).await.expect("the service listens"),
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
        assert!(answer.starts_with(b"HTTP/1.1 2"), "{path}: {}", String::from_utf8_lossy(&answer));
        self.idle.borrow_mut().push(connection);
        if length == 0 {
            return Value::Null;
        }
        serde_json::from_slice(&answer[head..]).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}
