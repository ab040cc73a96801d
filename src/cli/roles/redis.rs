//! What the address of a Redis does not say: passwords and certificates, each in a file, because an argument is seen by all.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::error::CliError;
use crate::store::redis::RedisAccess;

/// Options of a store in Redis.
#[derive(Debug, Clone, Default, Args)]
pub struct RedisOptions {
    /// File with the password of Redis, when it is not in the address; the user stands there: `redis://USER@HOST`.
    #[arg(long = "redis-password-file", env = "EVERLOOP_REDIS_PASSWORD_FILE", value_name = "FILE", hide_env_values = true)]
    pub password: Option<PathBuf>,
    /// File with the password of Sentinel itself, when it has one.
    #[arg(
        long = "redis-sentinel-password-file",
        env = "EVERLOOP_REDIS_SENTINEL_PASSWORD_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub sentinel_password: Option<PathBuf>,
    /// File with the certificates (PEM) of those who may have signed Redis's, for `rediss://` [default: the machine's].
    #[arg(long = "redis-ca-file", env = "EVERLOOP_REDIS_CA_FILE", value_name = "FILE", hide_env_values = true)]
    pub ca: Option<PathBuf>,
    /// File with our certificate (PEM), for a Redis that asks for one.
    #[arg(
        long = "redis-cert-file",
        env = "EVERLOOP_REDIS_CERT_FILE",
        value_name = "FILE",
        hide_env_values = true,
        requires = "certificate_key"
    )]
    pub certificate: Option<PathBuf>,
    /// File with its key (PEM).
    #[arg(long = "redis-key-file", env = "EVERLOOP_REDIS_KEY_FILE", value_name = "FILE", hide_env_values = true, requires = "certificate")]
    pub certificate_key: Option<PathBuf>,
}

impl RedisOptions {
    /// Reads the files.
    pub fn access(&self) -> Result<RedisAccess, CliError> {
        let password = |file: &Option<PathBuf>| file.as_deref().map(password).transpose();
        let bytes = |file: &Option<PathBuf>| file.as_deref().map(read).transpose();
        Ok(RedisAccess {
            password: password(&self.password)?,
            sentinel_password: password(&self.sentinel_password)?,
            ca: bytes(&self.ca)?,
            client: bytes(&self.certificate)?.zip(bytes(&self.certificate_key)?),
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(file)
        .map_err(|e| CliError::input(format!("failed to read {}: {e}", file.display()), "name a file that is there and may be read"))
}

/// Without the end of its line, which editors and `echo` add.
fn password(file: &Path) -> Result<String, CliError> {
    let wrong = |why: &str| CliError::input(format!("the file {} {why}", file.display()), "write the password into it, and nothing else");
    let text = String::from_utf8(read(file)?).map_err(|_| wrong("is no text"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(wrong("is empty")),
        password if password.contains('\n') => Err(wrong("has several lines")),
        password => Ok(password.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "s3cret \r\n").unwrap();
        assert_eq!(password(&file).unwrap(), "s3cret ");
        for bad in ["", "\n", "a\nb"] {
            std::fs::write(&file, bad).unwrap();
            assert!(password(&file).is_err(), "{bad:?}");
        }
        assert!(password(&folder.path().join("none")).is_err());
    }
}
