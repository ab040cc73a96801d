//! Applying definitions, at the start and after every change.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::api::Name;
use crate::api::definition::Workflow;
use crate::api::http::Applied;
use crate::client::{Client, ClientError};
use crate::definitions::{self, Broken, LoadError};

/// What one round brought.
#[derive(Debug, Default)]
pub struct News {
    /// What is new since the round before, with its file.
    pub applied: Vec<(Applied, String)>,
    /// What is wrong; the version before goes on being current.
    pub broken: Vec<Broken>,
    /// The files themselves cannot be read.
    pub unreadable: Option<LoadError>,
    /// The service refused them.
    pub refused: Vec<(Name, ClientError)>,
    /// Something was wrong the round before, and nothing is now.
    pub mended: bool,
}

impl News {
    /// Nothing has changed and nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.broken.is_empty() && self.unreadable.is_none() && self.refused.is_empty() && !self.mended
    }
}

/// Remembers what is current, so that a touched file is no news.
pub struct Reloader {
    client: Client,
    files: Vec<PathBuf>,
    current: BTreeMap<(Name, Name), Workflow>,
    wrong: bool,
}

impl Reloader {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(client: Client, files: Vec<PathBuf>) -> Self {
        Self { client, files, current: BTreeMap::new(), wrong: false }
    }

    /// Reads all files and applies what differs from before. One broken file keeps nothing of the others back.
    pub async fn round(&mut self) -> News {
        let mut news = self.read_and_apply().await;
        let wrong = !news.broken.is_empty() || news.unreadable.is_some() || !news.refused.is_empty();
        news.mended = self.wrong && !wrong;
        self.wrong = wrong;
        news
    }

    async fn read_and_apply(&mut self) -> News {
        let mut news = News::default();
        if self.files.is_empty() {
            return news;
        }
        let loaded = match definitions::load(&self.files) {
            Ok(loaded) => loaded,
            Err(error) => {
                news.unreadable = Some(error);
                return news;
            }
        };
        news.broken = loaded.broken;
        for document in loaded.documents {
            let namespace = document.namespace.clone().unwrap_or_else(|| self.client.namespace().clone());
            let key = (namespace.clone(), document.workflow.name.clone());
            if self.current.get(&key) == Some(&document.workflow) {
                continue;
            }
            match self.client.in_namespace(namespace).apply(&document.workflow).await {
                Ok(applied) => {
                    self.current.insert(key, document.workflow);
                    news.applied.push((applied, document.place));
                }
                Err(error) => news.refused.push((document.workflow.name, error)),
            }
        }
        news
    }
}
