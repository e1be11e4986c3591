//! The connection to a server: its runtime, its credentials, its certificates.
//!
//! Nothing is created before a store is opened. TLS is set up at the first https request. So an agent that stores
//! nothing, or does not use TLS, does not pay for it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::lanes;
use super::url::{Location, endpoint};

/// A client and the address of its server.
pub(super) struct Client {
    pub(super) s3: aws_sdk_s3::Client,
    /// The server's endpoint. Empty for AWS.
    pub(super) endpoint: String,
    /// Whether connections use TLS.
    pub(super) tls: bool,
}

/// Makes a client from the standard chain of AWS settings. Sends nothing to the store.
pub(super) async fn connect(location: &Location, credentials: Option<Credentials>) -> Result<Client, String> {
    let web = Web::new(location.requests_max())?;
    let from_environment = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().find_map(|name| std::env::var(name).ok());
    let given = location.endpoint.clone().or(from_environment.filter(|text| !text.is_empty()));
    let region = match (&location.region, &given) {
        (Some(region), _) => RegionProviderChain::first_try(Region::new(region.clone())),
        // A private server has no Amazon metadata service, so it must not be queried.
        (None, Some(_)) => RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new()),
        (None, None) => RegionProviderChain::default_provider(),
    };
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(region.or_else(Region::new("us-east-1")))
        .http_client(web)
        // `server` retries requests and detects stalls.
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .load()
        .await;
    let chosen = given.or_else(|| config.endpoint_url().map(str::to_owned)).map(|text| endpoint(&text)).transpose()?;
    let mut builder = aws_sdk_s3::config::Builder::from(&config)
        // Otherwise the SDK would hash each payload again, in a way that older servers do not support.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .force_path_style(location.path_style.unwrap_or(chosen.is_some()));
    if let Some(credentials) = credentials {
        builder = builder.credentials_provider(credentials);
    }
    if let Some(endpoint) = &chosen {
        builder = builder.endpoint_url(endpoint);
    }
    let tls = chosen.as_deref().is_none_or(|endpoint| endpoint.starts_with("https:"));
    Ok(Client { s3: aws_sdk_s3::Client::from_conf(builder.build()), endpoint: chosen.unwrap_or_default(), tls })
}

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Plain HTTP, and TLS once it is needed. Reading the system's certificates takes time, but happens once in a process.
/// Each lane has its own connections, which belong to its runtime.
#[derive(Clone, Debug)]
struct Web {
    plain: Arc<[OnceLock<SharedHttpClient>]>,
    tls: Arc<[OnceLock<SharedHttpClient>]>,
    bundle: Option<Arc<Vec<u8>>>,
}

impl Web {
    fn new(lanes: usize) -> Result<Self, String> {
        let path = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
        let bundle = path.map(|path| certificates(Path::new(&path))).transpose()?;
        let none_yet = || (0..lanes).map(|_| OnceLock::new()).collect();
        Ok(Self { plain: none_yet(), tls: none_yet(), bundle: bundle.map(Arc::new) })
    }

    fn plain(&self) -> &SharedHttpClient {
        self.plain[lanes::current()].get_or_init(|| Builder::new().build_http())
    }

    fn tls(&self) -> &SharedHttpClient {
        self.tls[lanes::current()].get_or_init(|| {
            let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
            let trust = self.bundle.as_ref().map(|pem| TrustStore::empty().with_pem_certificate(pem.as_slice()));
            match trust.and_then(|trust| TlsContext::builder().with_trust_store(trust).build().ok()) {
                Some(context) => builder.tls_context(context).build_https(),
                None => builder.build_https(),
            }
        })
    }
}

impl HttpClient for Web {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let (web, settings, components) = (self.clone(), settings.clone(), components.clone());
        SharedHttpConnector::new(ByScheme { web, settings, components })
    }
}

#[derive(Debug)]
struct ByScheme {
    web: Web,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for ByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = if request.uri().starts_with("https:") { self.web.tls() } else { self.web.plain() };
        client.http_connector(&self.settings, &self.components).call(request)
    }
}

/// The certificates of a file. They are checked here, because the SDK panics on invalid ones.
fn certificates(path: &Path) -> Result<Vec<u8>, String> {
    let refused = |why: String| format!("AWS_CA_BUNDLE names {}, {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| refused(format!("which cannot be read: {}", error.kind())))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|_| refused("which is not a file of PEM certificates".to_owned()))?;
    let mut roots = RootCertStore::empty();
    if all.is_empty() || all.into_iter().any(|certificate| roots.add(certificate).is_err()) {
        return Err(refused("which holds no CA certificate, or an invalid one".to_owned()));
    }
    Ok(pem)
}
