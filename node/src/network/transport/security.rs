//! TLS or Noise, whichever the other side speaks: TLS first, as it is the faster one.

use futures::future::{BoxFuture, Either, FutureExt, TryFutureExt};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, tls};

/// Upgrades a bare connection to an encrypted one whose other end is proven.
#[derive(Clone)]
pub(super) struct Security {
    tls: tls::Config,
    noise: noise::Config,
}

impl Security {
    pub(super) fn new(keypair: &Keypair) -> Result<Self, SecurityError> {
        Ok(Self { tls: tls::Config::new(keypair)?, noise: noise::Config::new(keypair)? })
    }
}

impl UpgradeInfo for Security {
    type Info = &'static str;
    type InfoIter = [&'static str; 2];

    fn protocol_info(&self) -> Self::InfoIter {
        [TLS, NOISE]
    }
}

const TLS: &str = "/tls/1.0.0";
const NOISE: &str = "/noise";

type Secured<A, B> = BoxFuture<'static, Result<(PeerId, Either<A, B>), SecurityError>>;

impl<C, A, B> InboundConnectionUpgrade<C> for Security
where
    C: Send + 'static,
    A: 'static,
    B: 'static,
    tls::Config: InboundConnectionUpgrade<C, Output = (PeerId, A), Error = tls::UpgradeError, Future: Send + 'static>,
    noise::Config: InboundConnectionUpgrade<C, Output = (PeerId, B), Error = noise::Error, Future: Send + 'static>,
{
    type Output = (PeerId, Either<A, B>);
    type Error = SecurityError;
    type Future = Secured<A, B>;

    fn upgrade_inbound(self, connection: C, name: Self::Info) -> Self::Future {
        if name == TLS {
            let upgrade = self.tls.upgrade_inbound(connection, name);
            return upgrade.map_ok(|(peer, stream)| (peer, Either::Left(stream))).err_into().boxed();
        }
        let upgrade = self.noise.upgrade_inbound(connection, name);
        upgrade.map_ok(|(peer, stream)| (peer, Either::Right(stream))).err_into().boxed()
    }
}

impl<C, A, B> OutboundConnectionUpgrade<C> for Security
where
    C: Send + 'static,
    A: 'static,
    B: 'static,
    tls::Config: OutboundConnectionUpgrade<C, Output = (PeerId, A), Error = tls::UpgradeError, Future: Send + 'static>,
    noise::Config: OutboundConnectionUpgrade<C, Output = (PeerId, B), Error = noise::Error, Future: Send + 'static>,
{
    type Output = (PeerId, Either<A, B>);
    type Error = SecurityError;
    type Future = Secured<A, B>;

    fn upgrade_outbound(self, connection: C, name: Self::Info) -> Self::Future {
        if name == TLS {
            let upgrade = self.tls.upgrade_outbound(connection, name);
            return upgrade.map_ok(|(peer, stream)| (peer, Either::Left(stream))).err_into().boxed();
        }
        let upgrade = self.noise.upgrade_outbound(connection, name);
        upgrade.map_ok(|(peer, stream)| (peer, Either::Right(stream))).err_into().boxed()
    }
}

/// Why a connection cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// Noise refused.
    #[error("Noise")]
    Noise(#[from] noise::Error),
    /// TLS refused.
    #[error("TLS")]
    Tls(#[from] tls::UpgradeError),
    /// No certificate could be made of the key.
    #[error("no certificate can be made of this node's key")]
    Certificate(#[from] tls::certificate::GenError),
}
