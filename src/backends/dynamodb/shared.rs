//! The SDK client that all stores of one place share: made by the first operation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Builder, Credentials, Region, SharedAsyncSleep, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Semaphore, SemaphorePermit};

use super::clock::{Clock, Observer};
use super::config::Place;
use super::error;
use crate::error::{Error, Kind, Result};

/// Requests under way at once; each has a connection of its own (HTTP/1.1).
const MAX_REQUESTS: usize = 64;

/// AWS closes idle connections; ours go first, so that no request meets a closing one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Instance metadata is one hop away or nowhere.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// Where an endpoint is named but no region: what DynamoDB Local and others do not care about.
const ANY_REGION: &str = "us-east-1";

/// The client of one place, and what is known of that place.
pub(super) struct SharedClient {
    place: Place,
    pub(super) connect_timeout: Duration,
    state: Mutex<State>,
    making: AsyncMutex<()>,
    permits: Semaphore,
    pub(super) clock: Arc<Clock>,
    /// These credentials may not send batches, but may do the same one by one.
    pub(super) singly: Singly,
}

/// What is done one by one, because batches are forbidden.
#[derive(Default)]
pub(super) struct Singly {
    puts: AtomicBool,
    gets: AtomicBool,
}

#[derive(Default)]
struct State {
    client: Option<Client>,
    closed: bool,
}

impl Singly {
    pub(super) fn puts(&self) -> bool {
        self.puts.load(Ordering::Relaxed)
    }

    pub(super) fn gets(&self) -> bool {
        self.gets.load(Ordering::Relaxed)
    }

    pub(super) fn remember_puts(&self) {
        self.puts.store(true, Ordering::Relaxed);
    }

    pub(super) fn remember_gets(&self) {
        self.gets.store(true, Ordering::Relaxed);
    }
}

impl SharedClient {
    /// Does not connect.
    pub(super) fn new(place: Place, connect_timeout: Duration) -> Self {
        Self {
            place,
            connect_timeout,
            state: Mutex::default(),
            making: AsyncMutex::new(()),
            permits: Semaphore::new(MAX_REQUESTS),
            clock: Arc::default(),
            singly: Singly::default(),
        }
    }

    /// Where DynamoDB is, for messages.
    pub(super) fn place(&self) -> String {
        self.place.shown()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Result<Option<Client>> {
        let state = self.state();
        if state.closed { Err(Error::closed()) } else { Ok(state.client.clone()) }
    }

    /// The client; the first one to ask makes it.
    pub(super) async fn client(&self) -> Result<Client> {
        if let Some(client) = self.current()? {
            return Ok(client);
        }
        let _making = self.making.lock().await;
        if let Some(client) = self.current()? {
            return Ok(client);
        }
        let client = self.make().await?;
        let mut state = self.state();
        if state.closed {
            return Err(Error::closed());
        }
        state.client = Some(client.clone());
        Ok(client)
    }

    /// Waits for its turn to send a request.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        self.permits.acquire().await.map_err(|_| Error::closed())
    }

    /// What only one does at a time, for all.
    pub(super) async fn first(&self) -> AsyncMutexGuard<'_, ()> {
        self.making.lock().await
    }

    /// Reads the environment and the profile, and sets the client up; sends nothing to DynamoDB.
    async fn make(&self) -> Result<Client> {
        let http = http_client(true)?;
        let sleep = SharedAsyncSleep::new(TokioSleep::new());
        let providers = ProviderConfig::without_region().with_http_client(http.clone()).with_sleep_impl(sleep.clone());
        let region = self.region(&providers).await?;
        let providers = providers.with_region(Some(region.clone()));
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .sleep_impl(sleep)
            .region(region.clone())
            // A little less, so that it is said who was late.
            .identity_cache(IdentityCache::lazy().load_timeout(self.connect_timeout.mul_f64(0.9)).build())
            .timeout_config(TimeoutConfig::builder().connect_timeout(self.connect_timeout).build());
        loader = if let Some(keys) = &self.place.keys {
            loader.credentials_provider(Credentials::new(
                &keys.access_key_id,
                &keys.secret_access_key,
                keys.session_token.clone(),
                None,
                "the options of sagastore",
            ))
        } else {
            let metadata = imds::Client::builder()
                .configure(&providers)
                .max_attempts(2)
                .connect_timeout(METADATA_TIMEOUT)
                .read_timeout(METADATA_TIMEOUT)
                .build();
            let chain = DefaultCredentialsChain::builder().configure(providers).region(region).imds_client(metadata);
            loader.credentials_provider(chain.build().await)
        };
        if let Some(endpoint) = &self.place.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let shared = loader.load().await;
        let config = Builder::from(&shared)
            .http_client(http_client(!self.place.is_plain_http())?)
            // Repetition is the lane's work: it knows deadlines, order, and what may be repeated.
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .interceptor(Observer(Arc::clone(&self.clock)))
            .build();
        // Reads the system's certificates, which takes a while on some systems.
        let made = tokio::task::spawn_blocking(move || Client::from_conf(config)).await;
        made.map_err(|source| Error::new(Kind::Backend, "the DynamoDB client cannot be set up").with_source(source))
    }

    async fn region(&self, providers: &ProviderConfig) -> Result<Region> {
        // Read here, because the SDK takes an empty variable for a region.
        let variable = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
        let known = self.place.region.clone();
        if let Some(region) = known.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION")) {
            return Ok(Region::new(region));
        }
        let mut chain = RegionProviderChain::first_try(ProfileFileRegionProvider::new());
        chain = if self.place.endpoint.is_some() {
            chain.or_else(Region::from_static(ANY_REGION))
        } else {
            chain.or_else(ImdsRegionProvider::builder().configure(providers).build())
        };
        let found = tokio::time::timeout(self.connect_timeout, chain.region()).await;
        found.ok().flatten().ok_or_else(error::no_region)
    }

    /// Drops the client and with it the connections.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let client = state.client.take();
        drop(state);
        drop(client);
    }
}

fn http_client(tls: bool) -> Result<SharedHttpClient> {
    // Without TLS there is no reason to read certificates.
    let trust = if tls { TrustStore::default() } else { TrustStore::empty() };
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|source| Error::new(Kind::Backend, "TLS cannot be set up").with_source(source))?;
    Ok(aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}
