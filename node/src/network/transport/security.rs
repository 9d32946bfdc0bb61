//! TLS or Noise, whichever the other side speaks: TLS first, as it is the faster one.

use futures::future::{BoxFuture, Either, FutureExt, TryFutureExt};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::identity::Keypair;
use libp2p::tls::certificate::GenError;
use libp2p::{PeerId, noise};

use super::gathered::Gathered;
use super::read_ahead::ReadAhead;
use super::tls::{Tls, TlsError};

/// Upgrades a bare connection to an encrypted one whose other end is proven.
#[derive(Clone)]
pub(super) struct Security {
    tls: Tls,
    noise: noise::Config,
}

impl Security {
    pub(super) fn new(keypair: &Keypair) -> Result<Self, SecurityError> {
        Ok(Self { tls: Tls::new(keypair)?, noise: noise::Config::new(keypair)? })
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

type Secured<C> = (PeerId, Either<Gathered<ReadAhead<C>>, noise::Output<C>>);

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Security {
    type Output = Secured<C>;
    type Error = SecurityError;
    type Future = BoxFuture<'static, Result<Secured<C>, SecurityError>>;

    fn upgrade_inbound(self, connection: C, name: Self::Info) -> Self::Future {
        if name == TLS {
            let accepted = self.tls.accept(ReadAhead::new(connection));
            return accepted.map_ok(|(peer, stream)| (peer, Either::Left(Gathered::new(stream)))).err_into().boxed();
        }
        let upgrade = self.noise.upgrade_inbound(connection, name);
        upgrade.map_ok(|(peer, stream)| (peer, Either::Right(stream))).err_into().boxed()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Security {
    type Output = Secured<C>;
    type Error = SecurityError;
    type Future = BoxFuture<'static, Result<Secured<C>, SecurityError>>;

    fn upgrade_outbound(self, connection: C, name: Self::Info) -> Self::Future {
        if name == TLS {
            let connected = self.tls.connect(ReadAhead::new(connection));
            return connected.map_ok(|(peer, stream)| (peer, Either::Left(Gathered::new(stream)))).err_into().boxed();
        }
        let upgrade = self.noise.upgrade_outbound(connection, name);
        upgrade.map_ok(|(peer, stream)| (peer, Either::Right(stream))).err_into().boxed()
    }
}

/// Why a connection cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// No certificate could be made of the key.
    #[error("no certificate can be made of this node's key")]
    Certificate(#[from] GenError),
    /// Noise refused.
    #[error("Noise")]
    Noise(#[from] noise::Error),
    /// TLS refused.
    #[error("TLS")]
    Tls(#[from] TlsError),
}
