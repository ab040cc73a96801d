//! `--store` and `--durability`: which store, opened or explained.
//!
//! What the address of a Redis does not say is in `redis`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::redis::RedisOptions;
use crate::cli::error::{CliError, Exit, RoleCode};
use crate::store::crash::CrashStore;
use crate::store::op::Durability;
use crate::store::redis::{RedisConfig, RedisStore};
use crate::store::{EmbeddedConfig, EmbeddedStore, Store, StoreError};
use crate::telemetry::crash;

/// Options of every role that opens a store, but for the place, whose default differs.
#[derive(Debug, Clone, Args)]
pub struct StoreOptions {
    /// What an acknowledgement is worth: `strict` survives kill -9 and power loss; `failover` likewise, but a Redis that takes over
    /// may lack the last; `everysec` may lose the last second; `none` promises nothing [default: strict, and none in memory].
    #[arg(long, env = "EVERLOOP_DURABILITY", value_name = "MODE", hide_env_values = true)]
    pub durability: Option<DurabilityArg>,
    /// Partitions of a store that is made by this call; an existing one must have as many [default: 16].
    #[arg(long, env = "EVERLOOP_PARTITIONS", value_name = "N", hide_env_values = true, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub partitions: Option<u16>,
    /// MiB of the disk under a file that are kept for what has begun: with less, new runs, definitions and signals are refused.
    #[arg(long, env = "EVERLOOP_KEEP_FREE", value_name = "MIB", default_value_t = 64, hide_env_values = true, value_parser = clap::value_parser!(u32))]
    pub keep_free: u32,
    #[command(flatten)]
    pub redis: RedisOptions,
}

/// [`Durability`] as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DurabilityArg {
    Strict,
    Failover,
    Everysec,
    None,
}

impl From<DurabilityArg> for Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Strict => Self::Strict,
            DurabilityArg::Failover => Self::Failover,
            DurabilityArg::Everysec => Self::Everysec,
            DurabilityArg::None => Self::None,
        }
    }
}

/// How the address of a Redis begins; `RedisStore` reads the rest.
const REDIS_SCHEMES: [&str; 7] = ["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster", "unix"];

/// Where the truth is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// In this process, and gone with it.
    Memory,
    /// A file of this machine, for one queue service.
    File(PathBuf),
    /// A Redis or Valkey, for any number of them.
    Redis(String),
}

impl FromStr for StorePlace {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            _ if text.strip_prefix("file:").is_some_and(|path| !path.is_empty()) => Ok(Self::File(text["file:".len()..].into())),
            _ if text.split_once("://").is_some_and(|(scheme, _)| REDIS_SCHEMES.contains(&scheme)) => Ok(Self::Redis(text.to_owned())),
            _ => Err("write memory, file:PATH or redis://HOST:PORT; or redis+sentinel://HOST:PORT/NAME, redis+cluster://HOST:PORT, \
                      with rediss in place of redis for TLS"
                .into()),
        }
    }
}

impl fmt::Display for StorePlace {
    /// As it was typed, without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Redis(url) => match (url.split_once("://"), url.rsplit_once('@')) {
                (Some((scheme, _)), Some((_, host))) => write!(f, "{scheme}://***@{host}"),
                _ => f.write_str(url),
            },
        }
    }
}

/// Opens the store, or says what is wrong and what to change.
pub async fn open(place: &StorePlace, options: &StoreOptions) -> Result<Arc<dyn Store>, CliError> {
    let store = open_plainly(place, options).await?;
    Ok(if crash::is_wanted() { Arc::new(CrashStore(store)) } else { store })
}

async fn open_plainly(place: &StorePlace, options: &StoreOptions) -> Result<Arc<dyn Store>, CliError> {
    // 0 is the embedded store's word for: as many as there are.
    let partitions = options.partitions.unwrap_or(0);
    let wanted = options.durability.map(Durability::from);
    let durability = wanted.unwrap_or(Durability::Strict);
    match place {
        StorePlace::Memory => match wanted {
            None | Some(Durability::None) => Ok(Arc::new(EmbeddedStore::memory(partitions).map_err(|e| explain(place, &e))?)),
            Some(mode) => Err(CliError::input(
                format!("a store in memory cannot be {}: it ends with the process", mode.as_str()),
                "use --store file:PATH, or leave out --durability",
            )),
        },
        StorePlace::File(_) if wanted == Some(Durability::Failover) => Err(CliError::input(
            "a file does not fail over: there is nothing that could take over",
            "leave out --durability, or write --durability strict",
        )),
        StorePlace::File(path) => {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder).map_err(|e| CliError::io(&format!("make the folder {}", folder.display()), &e))?;
            }
            let keep_free = u64::from(options.keep_free) << 20;
            let opened = EmbeddedStore::open(path, EmbeddedConfig { durability, partitions, keep_free, ..EmbeddedConfig::default() });
            Ok(Arc::new(opened.map_err(|e| explain(place, &e))?))
        }
        StorePlace::Redis(url) => {
            let mut config = RedisConfig::new(url);
            config.access = options.redis.access()?;
            config.durability = durability;
            config.partitions = options.partitions.unwrap_or(config.partitions);
            Ok(Arc::new(RedisStore::open(config).await.map_err(|e| explain(place, &e))?))
        }
    }
}

fn explain(place: &StorePlace, error: &StoreError) -> CliError {
    let next = match (place, error) {
        (_, StoreError::Unfit(_)) => "change what the lines above say, then type the same again".to_owned(),
        (_, StoreError::Full { .. }) => "make room on its disk".to_owned(),
        (_, StoreError::Damaged { .. }) => "use the program version that wrote it, or name another store".to_owned(),
        (StorePlace::Redis(_), _) => {
            "see that it runs and that --store (EVERLOOP_STORE) is its address; `redis-cli -h HOST -p PORT ping` asks it".to_owned()
        }
        _ => "see that no other queue service has the file open, and that it may be written; or name another store".to_owned(),
    };
    let code = match error {
        StoreError::Unfit(_) | StoreError::Damaged { .. } => RoleCode::StoreUnfit,
        StoreError::Full { .. } => RoleCode::StorageFull,
        StoreError::Unavailable { .. } => RoleCode::StoreUnavailable,
    };
    CliError::Role { code, what: format!("failed to open the store {place}: {error}"), next, exit: Exit::Server }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_prints_as_it_was_typed_but_for_the_password() {
        for (text, shown) in [
            ("memory", "memory"),
            ("file:./a.redb", "file:./a.redb"),
            ("redis://127.0.0.1:6379/1", "redis://127.0.0.1:6379/1"),
            ("redis://user:p@ss@host:6379", "redis://***@host:6379"),
            ("rediss+sentinel://:secret@a:1,b:2/main", "rediss+sentinel://***@a:1,b:2/main"),
        ] {
            assert_eq!(text.parse::<StorePlace>().unwrap().to_string(), shown);
        }
        for bad in ["", "file:", "disk", "http://x", "redis+star://x", "/tmp/x.redb"] {
            assert!(bad.parse::<StorePlace>().is_err(), "{bad}");
        }
    }
}
