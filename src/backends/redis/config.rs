//! What the URL and the options say, checked before anything connects.

use std::path::PathBuf;
use std::time::Duration;

use fred::rustls::pki_types::CertificateDer;
use fred::rustls::pki_types::pem::PemObject;
use fred::rustls::{ClientConfig, RootCertStore, crypto};
use fred::rustls_native_certs;
use fred::socket2::TcpKeepalive;
use fred::types::config::{Config, ConnectionConfig, Server, ServerConfig, TcpConfig, TlsConfig, TlsConnector};
use url::Url;

use crate::error::{Error, Kind, Result};
use crate::namespace::{EXECUTIONS, INBOX, Namespace, OUTBOX, PAYLOADS, SAGAS};
use crate::options::OptionReader;
use crate::url::shown_parameter;

/// The longest key prefix, in characters.
const MAX_PREFIX: usize = 128;

/// Redirections (MOVED, ASK) that a command follows before it fails.
const MAX_REDIRECTIONS: u32 = 5;

const URL_FORMS: &str = "the Redis URL is not valid; accepted: redis://[user:password@]host[:port][/database], \
    redis-cluster://[user:password@]host[:port][?node=host:port], \
    redis-sentinel://[user:password@]host[:port][/database]?sentinelServiceName=name[&node=host:port]\
    [&sentinelUsername=user][&sentinelPassword=password], each also with rediss (TLS)";

/// Whose certificates are trusted.
#[derive(Clone, Debug)]
enum Trust {
    System,
    CaFile(PathBuf),
}

/// Where a server is, and what it wants to be told first.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: Option<u8>,
}

/// Where to connect, and how.
pub(super) struct Endpoint {
    config: Config,
    trust: Option<Trust>,
    /// The longest that reaching the server may take.
    pub(super) connect_timeout: Duration,
}

impl Endpoint {
    /// Reads a URL. Its errors never repeat any of it.
    pub(super) fn parse(url: &str, ca_file: Option<String>, connect_timeout: Duration) -> Result<Self> {
        let mut parsed = Url::parse(url).map_err(|_| Error::invalid(URL_FORMS))?;
        let scheme = parsed.scheme().to_owned();
        let (tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (false, scheme.strip_prefix("redis").unwrap_or(&scheme)),
        };
        if !parsed.has_host() || parsed.fragment().is_some() {
            return Err(Error::invalid(URL_FORMS));
        }
        check_user(&parsed)?;
        check_database(&parsed, kind == "-cluster")?;
        check_parameters(&parsed, kind)?;
        let trust = match (tls, ca_file) {
            (true, Some(path)) => Some(Trust::CaFile(PathBuf::from(path))),
            (true, None) => Some(Trust::System),
            (false, Some(_)) => {
                return Err(Error::invalid(
                    "option 'tlsCaFile' needs a URL with TLS: rediss:, rediss-cluster: or rediss-sentinel:",
                ));
            }
            (false, None) => None,
        };
        // Without TLS in the scheme fred leaves the certificates to us: it would read the
        // system's here, at construction, and panic on some of their errors.
        if parsed.set_scheme(&format!("redis{kind}")).is_err() {
            return Err(Error::invalid(URL_FORMS));
        }
        let mut config = Config::from_url(parsed.as_str()).map_err(|_| Error::invalid(URL_FORMS))?;
        name_ipv6_hosts(&mut config.server);
        Ok(Self { config, trust, connect_timeout })
    }

    /// Where the servers are, for messages.
    pub(super) fn place(&self) -> String {
        let shown = |server: &Server| format!("{}:{}", server.host, server.port);
        match &self.config.server {
            ServerConfig::Centralized { server } => shown(server),
            ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } => {
                hosts.iter().map(shown).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// Whether the servers are spoken to with TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.trust.is_some()
    }

    /// Whether one server has all keys: this is no Redis Cluster.
    pub(super) fn one_server(&self) -> bool {
        !self.config.server.is_clustered()
    }

    /// The only server there is, if it is spoken to without TLS.
    pub(super) fn direct(&self) -> Option<Address> {
        let ServerConfig::Centralized { server } = &self.config.server else { return None };
        let host = server.tls_server_name.as_deref().unwrap_or(&server.host).to_owned();
        self.trust.is_none().then(|| Address {
            host,
            port: server.port,
            username: self.config.username.clone(),
            password: self.config.password.clone(),
            database: self.config.database,
        })
    }

    /// fred's configuration; reads the certificates.
    pub(super) fn client_config(&self) -> Result<Config> {
        let mut config = self.config.clone();
        if let Some(trust) = &self.trust {
            config.tls = Some(tls(trust)?);
        }
        Ok(config)
    }

    /// fred's settings of a connection.
    pub(super) fn connection_config(&self) -> ConnectionConfig {
        ConnectionConfig {
            connection_timeout: self.connect_timeout,
            internal_command_timeout: self.connect_timeout,
            // Each redirection counts as an attempt; nothing else is repeated, because a client
            // without a reconnect policy fails its commands when a connection breaks.
            max_command_attempts: MAX_REDIRECTIONS + 1,
            max_redirections: MAX_REDIRECTIONS,
            tcp: TcpConfig { nodelay: Some(true), keepalive: Some(keepalive()), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        }
    }
}

/// A connection that a firewall dropped while it was idle is noticed before the next operation has to
/// wait for it.
pub(super) fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10))
}

/// fred drops a user that comes without a password.
fn check_user(url: &Url) -> Result<()> {
    let user_alone = !url.username().is_empty() && url.password().is_none_or(str::is_empty);
    if user_alone && url.username() != "default" {
        return Err(Error::invalid("the Redis URL has a user but no password"));
    }
    Ok(())
}

fn check_database(url: &Url, cluster: bool) -> Result<()> {
    let path = url.path().trim_start_matches('/');
    if path.is_empty() {
        return Ok(());
    }
    match path.parse::<u8>() {
        Ok(0) => Ok(()),
        Ok(_) if cluster => Err(Error::invalid("Redis Cluster has only database 0")),
        Ok(_) => Ok(()),
        Err(_) => Err(Error::invalid("the database in a Redis URL must be a number from 0 to 255")),
    }
}

/// What fred would ignore is refused.
fn check_parameters(url: &Url, kind: &str) -> Result<()> {
    let accepted: &[&str] = match kind {
        "-cluster" => &["node"],
        "-sentinel" => &["sentinelServiceName", "node", "sentinelUsername", "sentinelPassword"],
        _ => &[],
    };
    if let Some((name, _)) = url.query_pairs().find(|(name, _)| !accepted.contains(&name.as_ref())) {
        let accepted = if accepted.is_empty() { String::from("none") } else { accepted.join(", ") };
        let shown = shown_parameter(&name);
        return Err(Error::invalid(format!(
            "the Redis URL has an unknown query parameter{shown}; accepted: {accepted}"
        )));
    }
    Ok(())
}

/// In certificates an IPv6 address stands without its brackets.
fn name_ipv6_hosts(server: &mut ServerConfig) {
    let name = |server: &mut Server| {
        if let Some(address) = server.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            server.tls_server_name = Some(address.into());
        }
    };
    match server {
        ServerConfig::Centralized { server } => name(server),
        ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } => hosts.iter_mut().for_each(name),
    }
}

fn tls(trust: &Trust) -> Result<TlsConfig> {
    let mut roots = RootCertStore::empty();
    match trust {
        // Certificates that cannot be read are left out, as other clients do.
        Trust::System => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        Trust::CaFile(path) => {
            let unreadable = |source: fred::rustls::pki_types::pem::Error| {
                Error::invalid("option 'tlsCaFile' must be the path of a PEM file with certificates")
                    .with_source(source)
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?).map_err(|source| {
                    Error::invalid("option 'tlsCaFile' holds a certificate that cannot be used").with_source(source)
                })?;
            }
            if roots.is_empty() {
                return Err(Error::invalid("option 'tlsCaFile' names a file without certificates"));
            }
        }
    }
    let provider = std::sync::Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::new(Kind::Backend, "TLS cannot be set up").with_source(source))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(config).into())
}

/// What the keys of each kind begin with.
#[derive(Clone)]
pub(super) struct Prefixes {
    pub(super) payloads: String,
    pub(super) states: String,
    pub(super) executions: String,
    /// With a hash tag.
    pub(super) outbox: String,
    pub(super) inbox: String,
}

impl Prefixes {
    /// Takes `namespace` and the options of the prefixes: see `docs/options.md`.
    pub(super) fn read(options: &mut OptionReader) -> Result<Self> {
        let namespace = Namespace::read(options)?;
        let mut read = |name, default: String| -> Result<String> {
            let prefix = options.string(name)?.unwrap_or(default);
            check_prefix(name, &prefix)?;
            Ok(prefix)
        };
        let payloads = read("keyPrefix", namespace.prefix(PAYLOADS, "saga:storage"))?;
        let states = read("statesKeyPrefix", namespace.prefix(SAGAS, "saga-bus") + ":")?;
        let executions = read("executionsKeyPrefix", namespace.prefix(EXECUTIONS, "saga-exec") + ":")?;
        if executions.contains('{') {
            // Each bucket has a hash tag of its own.
            return Err(Error::invalid("option 'executionsKeyPrefix' must not contain '{'"));
        }
        let outbox = tagged(&read("outboxKeyPrefix", namespace.prefix(OUTBOX, "saga-outbox") + ":")?)?;
        let inbox = read("inboxKeyPrefix", namespace.prefix(INBOX, "saga-inbox") + ":")?;
        check_apart(&payloads, &states)?;
        check_executions_apart(&executions, &payloads, &states)?;
        let prefixes = Self { payloads, states, executions, outbox, inbox };
        prefixes.check_events_apart()?;
        Ok(prefixes)
    }
}

/// The prefix of the outbox, all of whose keys have to be in one hash slot: what stands before its last colons is made
/// its hash tag, unless it has one.
fn tagged(prefix: &str) -> Result<String> {
    let Some((_, rest)) = prefix.split_once('{') else {
        let name = prefix.trim_end_matches(':');
        if name.is_empty() || name.contains('}') {
            return Err(Error::invalid("option 'outboxKeyPrefix' must have a name, or a hash tag"));
        }
        return Ok(format!("{{{name}}}{}", &prefix[name.len()..]));
    };
    match rest.split_once('}') {
        Some((tag, _)) if !tag.is_empty() => Ok(prefix.to_owned()),
        _ => Err(Error::invalid("option 'outboxKeyPrefix' must have a name, or a hash tag in braces")),
    }
}

/// Checks a prefix, the option of this name.
fn check_prefix(name: &str, prefix: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:{}-/".contains(c);
    if (1..=MAX_PREFIX).contains(&prefix.len()) && prefix.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid(format!("option '{name}' must be 1 to 128 letters, digits and characters of '_.:{{}}-/'")))
}

/// Refuses prefixes under which a payload and a saga could have one key. Payloads have any id behind `{payloads}:`.
/// Sagas have `{states}saga:{name}:...` and `{states}names`; the latter begins with `{payloads}:` only if the former do.
fn check_apart(payloads: &str, states: &str) -> Result<()> {
    let (payloads, sagas) = (format!("{payloads}:"), format!("{states}saga:"));
    if !payloads.starts_with(&sagas) && !sagas.starts_with(&payloads) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "options 'keyPrefix' and 'statesKeyPrefix' overlap: payloads have keys '{payloads}...', sagas '{sagas}...', \
         so that a payload could overwrite a saga"
    )))
}

impl Prefixes {
    /// The same with the outbox and the inbox, which have any key that begins with their prefix.
    fn check_events_apart(&self) -> Result<()> {
        let Self { payloads, states, executions, outbox, inbox } = self;
        let mut known = vec![
            ("keyPrefix", format!("{payloads}:")),
            ("statesKeyPrefix", format!("{states}saga:")),
            ("statesKeyPrefix", format!("{states}names")),
            ("executionsKeyPrefix", format!("{executions}{{b")),
            ("executionsKeyPrefix", format!("{executions}buckets")),
        ];
        for (option, own) in [("outboxKeyPrefix", outbox), ("inboxKeyPrefix", inbox)] {
            if let Some((other, theirs)) =
                known.iter().find(|(_, theirs)| own.starts_with(theirs) || theirs.starts_with(own))
            {
                return Err(Error::invalid(format!(
                    "options '{other}' and '{option}' overlap: keys '{theirs}...' and '{own}...' could be the same"
                )));
            }
            known.push((option, own.clone()));
        }
        Ok(())
    }
}

/// The same with executions, which have any key that begins with their prefix and `{b` or `buckets`.
fn check_executions_apart(executions: &str, payloads: &str, states: &str) -> Result<()> {
    let own = ["{b", "buckets"].map(|rest| format!("{executions}{rest}"));
    let others = [
        ("keyPrefix", format!("{payloads}:")),
        ("statesKeyPrefix", format!("{states}saga:")),
        ("statesKeyPrefix", format!("{states}names")),
    ];
    for (option, other) in others {
        if own.iter().any(|own| own.starts_with(&other) || other.starts_with(own)) {
            return Err(Error::invalid(format!(
                "options '{option}' and 'executionsKeyPrefix' overlap: keys '{other}...' and '{executions}...' could be \
                 the same"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Endpoint> {
        Endpoint::parse(url, None, Duration::from_secs(1))
    }

    #[test]
    fn urls_are_read() {
        for url in [
            "redis://localhost",
            "redis://127.0.0.1:6380/15",
            "redis://[::1]:6380",
            "rediss://user:p%40ss@cache.example.com:6380/2",
            "redis://:secret@localhost",
            "redis://default@localhost",
            "redis-cluster://a:7000?node=b:7001&node=c:7002",
            "rediss-cluster://a:7000/0",
            "redis-sentinel://a:26379/3?sentinelServiceName=m&node=b:26379&sentinelUsername=u&sentinelPassword=p",
        ] {
            assert!(parse(url).is_ok(), "{url}");
        }
        let endpoint = parse("rediss://user:p%40ss@host:6380/2").unwrap();
        assert_eq!(endpoint.config.password.as_deref(), Some("p@ss"));
        assert_eq!(endpoint.config.username.as_deref(), Some("user"));
        assert_eq!(endpoint.config.database, Some(2));
        assert!(endpoint.client_config().unwrap().tls.is_some());
        assert!(endpoint.one_server());
    }

    #[test]
    fn wrong_urls_are_refused_without_their_secrets() {
        for url in [
            "redis:hunter2",
            "redis://",
            "redis://u:hunter2@",
            "redis://u:hunter2@host:99999",
            "redis://u:hunter2@host:port",
            "redis://u:hunter2@host/one",
            "redis://u:hunter2@host/256",
            "redis://u:hunter2@host/-1",
            "redis://u:hunter2@host/1/2",
            "redis://u:hunter2@host?hunter2=1",
            "redis://u:hunter2@host?node=b:1",
            "redis://u:hunter2@host#1",
            "redis://hunter2@host",
            "redis-cluster://u:hunter2@host/1",
            "redis-cluster://u:hunter2@host?node=hunter2",
            "redis-sentinel://u:hunter2@host",
            "redis-sentinel://u:hunter2@host?sentinelServiceName=m&timeout=1",
        ] {
            let error = parse(url).err().unwrap_or_else(|| panic!("{url}"));
            assert_eq!(error.kind(), Kind::InvalidArgument, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_ca_file_needs_tls() {
        let file = || Some(String::from("/nonexistent/ca.pem"));
        let error = Endpoint::parse("redis://host", file(), Duration::ZERO).err().unwrap();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        let endpoint = Endpoint::parse("rediss://host", file(), Duration::ZERO).unwrap();
        assert_eq!(endpoint.client_config().unwrap_err().kind(), Kind::InvalidArgument);
    }

    #[test]
    fn prefixes_are_checked() {
        for prefix in ["saga:storage", "{app}/x_1.2-3", "a", &"x".repeat(128)] {
            assert!(check_prefix("keyPrefix", prefix).is_ok(), "{prefix}");
        }
        for prefix in ["", "a b", "a*", "ü", "a\n", &"x".repeat(129)] {
            assert!(check_prefix("keyPrefix", prefix).unwrap_err().message().contains("1 to 128"), "{prefix}");
        }
    }

    #[test]
    fn the_outbox_has_a_hash_tag() {
        let good = [
            ("saga-outbox:", "{saga-outbox}:"),
            ("orders:outbox:", "{orders:outbox}:"),
            ("orders", "{orders}"),
            ("{app}:outbox:", "{app}:outbox:"),
            ("x{app}", "x{app}"),
        ];
        for (given, expected) in good {
            assert_eq!(tagged(given).unwrap(), expected);
        }
        for bad in [":", "a}b", "{}x", "{x", "x{"] {
            assert_eq!(tagged(bad).unwrap_err().kind(), Kind::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn events_have_keys_of_their_own() {
        let read = |options: &str| Prefixes::read(&mut OptionReader::parse(options).unwrap());
        let prefixes = read("{}").unwrap();
        assert_eq!((&*prefixes.outbox, &*prefixes.inbox), ("{saga-outbox}:", "saga-inbox:"));
        let prefixes = read(r#"{"namespace":"orders"}"#).unwrap();
        assert_eq!((&*prefixes.outbox, &*prefixes.inbox), ("{orders:outbox}:", "orders:inbox:"));
        let apart =
            r#"{"keyPrefix":"{a}:p","statesKeyPrefix":"{a}:s:","outboxKeyPrefix":"{a}:o:","inboxKeyPrefix":"{a}:i:"}"#;
        assert!(read(apart).is_ok());
        for overlapping in [
            r#"{"inboxKeyPrefix":"saga:storage:"}"#,
            r#"{"keyPrefix":"{saga-outbox}"}"#,
            r#"{"outboxKeyPrefix":"{a}:","inboxKeyPrefix":"{a}:i:"}"#,
            r#"{"inboxKeyPrefix":"saga-exec:"}"#,
            r#"{"inboxKeyPrefix":"saga-bus:saga:x"}"#,
        ] {
            let error = read(overlapping).err().unwrap_or_else(|| panic!("{overlapping}"));
            assert!(error.message().contains("overlap"), "{overlapping}: {error}");
        }
    }

    #[test]
    fn prefixes_do_not_overlap() {
        for (payloads, states) in [
            ("x", "x:"),
            ("x", "x:y:"),
            ("x:saga", "x:"),
            ("x:saga:Order", "x:"),
            ("saga-bus:saga", "saga-bus:"),
            ("saga", "saga:"),
            ("sagasaga", "saga"),
            ("saga:storage", "saga:storage:"),
        ] {
            let apart = check_apart(payloads, states);
            assert_eq!(apart.err().map(|error| error.kind()), Some(Kind::InvalidArgument), "{payloads} {states}");
        }
        for (payloads, states) in [
            ("saga:storage", "saga-bus:"),
            ("x", "xy:"),
            ("x:payloads", "x:"),
            ("x:payloads", "x:sagas:"),
            ("{x}:p", "{x}:"),
            ("x", "x"),
            ("x", "x-"),
        ] {
            assert!(check_apart(payloads, states).is_ok(), "{payloads} {states}");
        }
    }
}
