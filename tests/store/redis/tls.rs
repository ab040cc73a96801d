//! TLS, users and passwords: who is not let in is told what to give.

use everloop::store::redis::{RedisAccess, RedisConfig, RedisStore};
use everloop::store::{Store as _, StoreError};

use crate::certificates::Authority;
use crate::stores::{PASSWORD, TlsServer, tls};

fn with(server: &TlsServer, change: impl FnOnce(&mut RedisConfig)) -> RedisConfig {
    let mut config = server.config();
    change(&mut config);
    config
}

async fn refused(config: RedisConfig) -> String {
    match RedisStore::open(config).await {
        Err(error @ StoreError::Unfit(_)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_store_is_opened_over_tls_with_user_and_password() {
    let server = tls(&["127.0.0.1"], &[]);
    let store = RedisStore::open(server.config()).await.unwrap();
    store.now().await.unwrap();
    let escaped = PASSWORD.replace('/', "%2F").replace('@', "%40").replace('#', "%23");
    let in_the_address = with(&server, |config| {
        config.access.password = None;
        config.url = format!("rediss://everloop:{escaped}@127.0.0.1:{}/0", server.port);
    });
    assert_eq!(RedisStore::open(in_the_address).await.unwrap().info().id, store.info().id);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_give() {
    let server = tls(&["127.0.0.1"], &[]);
    redis::cmd("CONFIG").arg(&["SET", "requirepass", "another"]).exec(&mut server.server.connection()).unwrap();
    let port = server.port;
    let other = std::fs::read(Authority::new().file()).unwrap();
    for (expected, config) in [
        ("--redis-ca-file", with(&server, |config| config.access.ca = Some(other))),
        ("--redis-ca-file", with(&server, |config| config.access.ca = None)),
        ("--redis-password-file", with(&server, |config| config.access.password = Some("wrong".into()))),
        ("--redis-password-file", with(&server, |config| config.url = format!("rediss://nobody@127.0.0.1:{port}"))),
        (
            "--redis-password-file",
            with(&server, |config| {
                config.access.password = None;
                config.url = format!("rediss://127.0.0.1:{port}");
            }),
        ),
    ] {
        let said = refused(config).await;
        assert!(said.contains(expected) && said.contains(&format!("127.0.0.1:{port}")), "expected {expected}: {said}");
        assert!(!said.contains("wrong") && !said.contains(PASSWORD), "{said}");
    }
    let elsewhere = tls(&["redis.example"], &[]);
    let said = refused(elsewhere.config()).await;
    assert!(said.contains("stands in the certificate"), "{said}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_ours_gets_it() {
    let server = tls(&["127.0.0.1"], &["--tls-auth-clients", "yes"]);
    let ours = server.authority.sign("ours", &["everloop"]);
    let read = |path: &std::path::Path| std::fs::read(path).unwrap();
    let client = Some((read(&ours.certificate), read(&ours.key)));
    RedisStore::open(with(&server, |config| config.access.client = client)).await.unwrap();
    let said = refused(server.config()).await;
    assert!(said.contains("--redis-cert-file and --redis-key-file"), "{said}");
}

#[tokio::test]
async fn tls_and_none_are_told_apart() {
    let server = tls(&["127.0.0.1"], &[]);
    let plain = crate::process::free_port().to_string();
    redis::cmd("CONFIG").arg(&["SET", "port", &plain]).exec(&mut server.server.connection()).unwrap();
    let over_tls = with(&server, |config| config.url = format!("rediss://everloop@127.0.0.1:{plain}"));
    let said = RedisStore::open(over_tls).await.unwrap_err().to_string();
    assert!(said.contains("does it speak TLS on this port?"), "{said}");
    let without = RedisConfig { access: RedisAccess::default(), url: format!("redis://127.0.0.1:{}", server.port), ..server.config() };
    let said = RedisStore::open(without).await.unwrap_err().to_string();
    assert!(said.contains("does it want TLS, as rediss://?"), "{said}");
}
