//! Changes of the configuration file while a node runs, and what of them counts at once.

use std::sync::{Arc, PoisonError, RwLock};

use libp2p::Multiaddr;

use super::Node;
use crate::config::{Config, ConfigError, Document, Effect, Key, Token, is_public_introducer};

/// The tokens that count at this moment: one that was taken away lets nobody in any more.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<RwLock<Vec<Token>>>);

impl Tokens {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self(Arc::new(RwLock::new(tokens)))
    }

    /// All of them.
    pub fn now(&self) -> Vec<Token> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, tokens: Vec<Token>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tokens;
    }
}

impl Node {
    /// The tokens of the API.
    pub fn tokens(&self) -> Tokens {
        self.0.tokens.clone()
    }

    /// The configuration file as it stands, which may be newer than what this node was opened with.
    pub fn document(&self) -> Result<Document, ConfigError> {
        Document::read(&self.0.repository.config())
    }

    /// Changes the configuration file, one change at a time.
    pub fn configure<T>(&self, change: impl FnOnce(&mut Document) -> Result<T, ConfigError>) -> Result<T, ConfigError> {
        let _alone = self.0.configuring.lock().expect("nobody panics while holding it");
        let mut document = self.document()?;
        let result = change(&mut document)?;
        document.write()?;
        Ok(result)
    }

    /// Lets a setting that was changed count, where that is possible; says whether it does.
    pub async fn apply(&self, key: Key, config: &Config) -> Effect {
        match key.name {
            _ if !self.is_daemon() => Effect::Now,
            "api.tokens" => {
                self.0.tokens.replace(config.api.tokens.clone());
                Effect::Now
            }
            "bootstrap.peers" if self.0.settings.bootstrap.is_none() => {
                self.meet(config.bootstrap.peers.clone()).await;
                Effect::Now
            }
            _ => Effect::Restart,
        }
    }

    /// Whom this node meets first.
    pub fn bootstrap(&self) -> Vec<Multiaddr> {
        self.0.bootstrap.lock().expect("nobody panics while holding it").clone()
    }

    /// Changes whom this node meets first, now and, in the configuration file, from here on. Each list is changed for itself: a
    /// list that was given by a flag does not get into the file.
    pub async fn change_bootstrap(&self, change: impl Fn(&mut Vec<Multiaddr>)) -> Result<(), ConfigError> {
        let key = Key::named("bootstrap.peers").expect("a setting of ours");
        self.configure(|document| {
            let before = &document.config().bootstrap.peers;
            let mut peers = before.clone();
            change(&mut peers);
            if peers == *before {
                return Ok(());
            }
            document.set_list(key, &peers.iter().map(Multiaddr::to_string).collect::<Vec<_>>())
        })?;
        let mut peers = self.bootstrap();
        change(&mut peers);
        self.meet(peers).await;
        Ok(())
    }

    /// Whether it is told to meet those who introduce nodes to the public IPFS network.
    pub fn joins_public_network(&self) -> bool {
        !self.0.settings.offline && self.bootstrap().iter().any(is_public_introducer)
    }

    fn is_private(&self) -> bool {
        self.0.settings.swarm_key.is_some() || self.0.repository.swarm_key().exists()
    }

    async fn meet(&self, mut peers: Vec<Multiaddr>) {
        if self.is_private() {
            peers.retain(|peer| !is_public_introducer(peer));
        }
        self.0.bootstrap.lock().expect("nobody panics while holding it").clone_from(&peers);
        if let Some(network) = self.running_network() {
            network.set_bootstrap(peers).await;
        }
    }
}
