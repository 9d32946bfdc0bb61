//! TLS 1.3 as libp2p's specification "libp2p TLS Handshake" has it, with our order of ciphers.
//!
//! libp2p's own upgrade offers ChaCha20 first whatever the processor, and its servers follow the client. With AES instructions
//! AES-128-GCM costs less than half of it, so it goes first where they are. All else, certificates above all, is libp2p's.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures::{AsyncRead, AsyncWrite};
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use libp2p::PeerId;
use libp2p::identity::Keypair;
use libp2p::tls::certificate::{self, GenError, ParseError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, SupportedCipherSuite,
};

/// Encrypts connections, and proves who is at their other end.
#[derive(Clone)]
pub(super) struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    pub(super) fn new(keypair: &Keypair) -> Result<Self, GenError> {
        Self::with_ciphers(keypair, ciphers(has_aes()))
    }

    fn with_ciphers(keypair: &Keypair, ciphers: Vec<SupportedCipherSuite>) -> Result<Self, GenError> {
        let theirs = libp2p::tls::make_client_config(keypair, None)?;
        let mut client = ClientConfig::builder_with_provider(provider(ciphers.clone()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("there are ciphers for it")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier))
            .with_client_cert_resolver(theirs.client_auth_cert_resolver.clone());
        client.alpn_protocols.clone_from(&theirs.alpn_protocols);
        let theirs = libp2p::tls::make_server_config(keypair)?;
        let mut server = ServerConfig::builder_with_provider(provider(ciphers))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("there are ciphers for it")
            .with_client_cert_verifier(Arc::new(Verifier))
            .with_cert_resolver(theirs.cert_resolver.clone());
        server.alpn_protocols.clone_from(&theirs.alpn_protocols);
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }

    /// The other side dialled.
    pub(super) async fn accept<C>(self, connection: C) -> Result<(PeerId, TlsStream<C>), TlsError>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = TlsAcceptor::from(self.server).accept(connection).await?;
        Self::proven(stream.into())
    }

    /// We dialled.
    pub(super) async fn connect<C>(self, connection: C) -> Result<(PeerId, TlsStream<C>), TlsError>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        // An address is not sent: the specification forbids any server name.
        let nobody = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
        let stream = TlsConnector::from(self.client).connect(nobody, connection).await?;
        Self::proven(stream.into())
    }

    fn proven<C>(stream: TlsStream<C>) -> Result<(PeerId, TlsStream<C>), TlsError> {
        let (_, state) = stream.get_ref();
        let Some([certificate]) = state.peer_certificates() else { return Err(TlsError::NoCertificate) };
        let peer = certificate::parse(certificate)?.peer_id();
        Ok((peer, stream))
    }
}

fn provider(ciphers: Vec<SupportedCipherSuite>) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { cipher_suites: ciphers, ..rustls::crypto::aws_lc_rs::default_provider() })
}

/// Those of TLS 1.3, the cheapest first.
fn ciphers(has_aes: bool) -> Vec<SupportedCipherSuite> {
    match has_aes {
        true => vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256],
        false => vec![TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384],
    }
}

/// Whether the processor has instructions for AES and for the multiplication that GCM is made of.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// A peer is whoever signed its certificate: there is exactly one, made for the connection, and no authority.
#[derive(Debug)]
struct Verifier;

impl Verifier {
    fn verify(certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        if !others.is_empty() {
            return Err(rustls::Error::General("a peer has exactly one certificate".to_owned()));
        }
        certificate::parse(certificate)?;
        Ok(())
    }

    fn verify_signature(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        certificate::parse(certificate)?.verify_signature(signed.scheme, message, signed.signature())?;
        Ok(HandshakeSignatureValid::assertion())
    }
}

/// What libp2p's certificates are verified with, the preferred ones first.
const SCHEMES: [SignatureScheme; 9] = [
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA256,
];

fn only_tls_13() -> rustls::Error {
    rustls::Error::General("only TLS 1.3 is spoken here".to_owned())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Whether it is the peer that was dialled is looked at where it is known who was.
        Self::verify(certificate, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls_13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Self::verify(certificate, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls_13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate is none of libp2p's.
    #[error("its certificate is not a peer's")]
    Certificate(#[from] ParseError),
    /// The handshake failed.
    #[error("the handshake failed")]
    Handshake(#[from] std::io::Error),
    /// There is none, though it was asked for.
    #[error("it has no certificate")]
    NoCertificate,
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt};
    use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
    use libp2p::tcp::tokio::TcpStream;
    use rustls::CipherSuite;
    use rustls::client::ResolvesClientCert;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let there = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (TcpStream(listener.accept().await.unwrap().0), TcpStream(there))
    }

    fn cipher<C>(stream: &TlsStream<C>) -> CipherSuite {
        stream.get_ref().1.negotiated_cipher_suite().unwrap().suite()
    }

    #[tokio::test]
    async fn both_sides_are_proven_and_the_cheapest_cipher_is_taken() {
        for (has_aes, expected) in
            [(true, CipherSuite::TLS13_AES_128_GCM_SHA256), (false, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256)]
        {
            let (alice, bob) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
            let (here, there) = pair().await;
            let accept = Tls::with_ciphers(&alice, ciphers(true)).unwrap().accept(here);
            let connect = Tls::with_ciphers(&bob, ciphers(has_aes)).unwrap().connect(there);

            let (accepted, connected) = futures::future::try_join(accept, connect).await.unwrap();

            assert_eq!(accepted.0, bob.public().to_peer_id());
            assert_eq!(connected.0, alice.public().to_peer_id());
            assert_eq!((cipher(&accepted.1), cipher(&connected.1)), (expected, expected));
        }
    }

    #[tokio::test]
    async fn it_is_what_libp2p_speaks() {
        let (alice, bob) = (Keypair::generate_ed25519(), Keypair::generate_ecdsa());
        let ours = Tls::new(&alice).unwrap();
        let theirs = || libp2p::tls::Config::new(&bob).unwrap();

        let (here, there) = pair().await;
        let (accepted, connected) =
            futures::join!(ours.clone().accept(here), theirs().upgrade_outbound(there, "/tls/1.0.0"));
        let (mut here, mut there) = (accepted.unwrap(), connected.unwrap());
        assert_eq!((here.0, there.0), (bob.public().to_peer_id(), alice.public().to_peer_id()));
        there.1.write_all(b"hello").await.unwrap();
        there.1.flush().await.unwrap();
        let mut heard = [0; 5];
        here.1.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");

        let (here, there) = pair().await;
        let (connected, accepted) = futures::join!(ours.connect(here), theirs().upgrade_inbound(there, "/tls/1.0.0"));
        assert_eq!(
            (connected.unwrap().0, accepted.unwrap().0),
            (bob.public().to_peer_id(), alice.public().to_peer_id())
        );
    }

    #[tokio::test]
    async fn other_certificates_are_refused() {
        let forged = |mut key: CertifiedKey| {
            let mut bytes = key.cert[0].to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            key.cert[0] = bytes.into();
            Some(key)
        };
        let two = |mut key: CertifiedKey| {
            key.cert.push(key.cert[0].clone());
            Some(key)
        };
        let changes: [(&str, &Change, bool); 4] =
            [("its own", &Some, true), ("forged", &forged, false), ("two", &two, false), ("none", &|_| None, false)];
        for (what, change, accepted) in changes {
            let mut mallory = (*Tls::new(&Keypair::generate_ed25519()).unwrap().client).clone();
            let key = mallory.client_auth_cert_resolver.resolve(&[], &SCHEMES).unwrap();
            mallory.client_auth_cert_resolver = match change((*key).clone()) {
                Some(key) => Arc::new(SingleCertAndKey::from(key)),
                None => Arc::new(NoKey),
            };
            let alice = Tls::new(&Keypair::generate_ed25519()).unwrap();
            let mallory = Tls { client: Arc::new(mallory), server: alice.server.clone() };
            let (here, there) = pair().await;

            let (seen, _) = futures::join!(alice.accept(here), mallory.connect(there));

            assert_eq!(seen.is_ok(), accepted, "{what}");
        }
    }

    type Change = dyn Fn(CertifiedKey) -> Option<CertifiedKey>;

    #[derive(Debug)]
    struct NoKey;

    impl ResolvesClientCert for NoKey {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            None
        }

        fn has_certs(&self) -> bool {
            false
        }
    }
}
