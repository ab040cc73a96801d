//! A way to the API server that can be cut.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An address of this machine behind which another one is.
pub struct Relay {
    pub port: u16,
    target: u16,
    serving: Option<JoinHandle<()>>,
}

impl Relay {
    pub async fn to(target: u16) -> Self {
        let mut relay = Self { port: 0, target, serving: None };
        relay.mend().await;
        relay
    }

    /// All connections end, and nobody listens.
    pub async fn cut(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Listens, at the port that it had before.
    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], self.port))).await.expect("the port is free");
        self.port = listener.local_addr().expect("bound").port();
        let target = self.target;
        self.serving = Some(tokio::spawn(async move {
            // The connections end with this task.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut outer, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut inner = TcpStream::connect(("127.0.0.1", target)).await?;
                    copy_bidirectional(&mut outer, &mut inner).await
                });
            }
        }));
    }
}
