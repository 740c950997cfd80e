//! What the URL and the options say, checked before anything connects.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use url::Url;

use crate::contract::operation::RecordKind;
use crate::error::{Error, Result};
use crate::namespace::{EXECUTIONS, INBOX, Namespace, OUTBOX, PAYLOADS, SAGAS, check_places};
use crate::options::OptionReader;
use crate::url::shown_parameter;

const DEFAULT_TABLE: &str = "saga_store";
const DEFAULT_STATES_TABLE: &str = "saga_instances";
/// The table of executions.
const DEFAULT_EXECUTIONS_TABLE: &str = "saga_executions";
/// The table of events.
const DEFAULT_OUTBOX_TABLE: &str = "saga_outbox";
/// The table of messages that have been applied.
const DEFAULT_INBOX_TABLE: &str = "saga_inbox";

const URL_FORM: &str = "the DynamoDB URL is not valid; accepted: \
    dynamodb://[region][/table][?endpoint=http://host:port], such as dynamodb://eu-west-1/saga_store";

/// Where the tables are, and who asks.
pub(super) struct Config {
    pub(super) tables: Tables,
    pub(super) place: Place,
}

/// The names of a store's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) payloads: String,
    pub(super) states: String,
    pub(super) executions: String,
    pub(super) outbox: String,
    pub(super) inbox: String,
    /// Names of sagas that are known to be listed.
    pub(super) known: KnownNames,
}

/// What this process has listed already: it need not do so again.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownNames(Arc<Mutex<HashSet<String>>>);

impl PartialEq for KnownNames {
    /// They do not make other tables.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for KnownNames {}

impl KnownNames {
    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names().contains(name)
    }

    pub(super) fn add(&self, name: &str) {
        self.names().insert(name.to_owned());
    }
}

impl Tables {
    /// The table of a kind of records.
    pub(super) fn of(&self, kind: RecordKind) -> &str {
        match kind {
            RecordKind::Payloads => &self.payloads,
            RecordKind::States => &self.states,
            RecordKind::Executions => &self.executions,
            RecordKind::Outbox => &self.outbox,
            RecordKind::Inbox | RecordKind::Moving => &self.inbox,
        }
    }

    fn new(payloads: Option<String>, namespace: &Namespace, options: &mut OptionReader) -> Result<Self> {
        let states = options.string("statesTableName")?;
        let executions = options.string("executionsTableName")?;
        let outbox = options.string("outboxTableName")?;
        let inbox = options.string("inboxTableName")?;
        let tables = Self {
            payloads: payloads.unwrap_or_else(|| namespace.table(PAYLOADS, DEFAULT_TABLE)),
            states: states.unwrap_or_else(|| namespace.table(SAGAS, DEFAULT_STATES_TABLE)),
            executions: executions.unwrap_or_else(|| namespace.table(EXECUTIONS, DEFAULT_EXECUTIONS_TABLE)),
            outbox: outbox.unwrap_or_else(|| namespace.table(OUTBOX, DEFAULT_OUTBOX_TABLE)),
            inbox: inbox.unwrap_or_else(|| namespace.table(INBOX, DEFAULT_INBOX_TABLE)),
            known: KnownNames::default(),
        };
        check_table(&tables.payloads)?;
        check_table(&tables.states)?;
        check_table(&tables.executions)?;
        check_table(&tables.outbox)?;
        check_table(&tables.inbox)?;
        let places = [
            ("tableName", &*tables.payloads),
            ("statesTableName", &tables.states),
            ("executionsTableName", &tables.executions),
            ("outboxTableName", &tables.outbox),
            ("inboxTableName", &tables.inbox),
        ];
        check_places(&places, |a, b| a == b)?;
        Ok(tables)
    }
}

/// What stores must have in common to share their connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `None`: what the AWS default chain says.
    pub(super) region: Option<String>,
    /// `None`: what the environment or the profile says, or else the region's own.
    pub(super) endpoint: Option<String>,
    /// `None`: what the AWS default chain says.
    pub(super) keys: Option<Keys>,
}

/// Credentials from the options.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

impl Config {
    /// Reads a URL and the options `namespace`, `tableName`, `statesTableName`, `region`, `endpoint` and
    /// `credentials`. Its errors never repeat any of them.
    pub(super) fn read(url: &str, options: &mut OptionReader) -> Result<Self> {
        let from_url = parse(url)?;
        let namespace = Namespace::read(options)?;
        let given = options.string("tableName")?;
        // One URL for all, such as from the environment: two namespaces on it would share its table.
        if namespace.name().is_some() && from_url.table.is_some() && given.is_none() {
            return Err(Error::invalid(
                "the DynamoDB URL names a table, and so does option 'namespace': leave it out of the URL, or give option \
                'tableName' as well",
            ));
        }
        let table = one_of("table", "tableName", from_url.table, given)?;
        let tables = Tables::new(table, &namespace, options)?;
        let region = one_of("region", "region", from_url.region, options.string("region")?)?;
        if let Some(region) = &region {
            check_region(region)?;
        }
        let endpoint = one_of("endpoint", "endpoint", from_url.endpoint, options.string("endpoint")?)?;
        if let Some(endpoint) = &endpoint {
            check_endpoint(endpoint)?;
        }
        let keys = options.nested("credentials", "credentials.", read_keys)?;
        Ok(Self { tables, place: Place { region, endpoint, keys } })
    }
}

/// Reads the options `namespace`, `tableName` and `statesTableName` alone.
pub(super) fn read_tables(options: &mut OptionReader) -> Result<Tables> {
    let (namespace, table) = (Namespace::read(options)?, options.string("tableName")?);
    Tables::new(table, &namespace, options)
}

impl Place {
    /// Tells places apart; to be kept in memory only.
    pub(super) fn key(&self) -> String {
        let keys = self.keys.as_ref().map(|keys| (&keys.access_key_id, &keys.secret_access_key, &keys.session_token));
        format!("{:?} {:?} {keys:?}", self.region, self.endpoint)
    }

    /// Where it is, for messages: the endpoint without what may be a secret, or the region.
    pub(super) fn shown(&self) -> String {
        let endpoint = self.endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok());
        match (endpoint, &self.region) {
            (Some(endpoint), _) => {
                let port = endpoint.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
                format!("{}{port}", endpoint.host_str().unwrap_or_default())
            }
            (None, Some(region)) => format!("AWS in {region}"),
            (None, None) => String::from("AWS"),
        }
    }

    /// Whether requests go out without TLS.
    pub(super) fn is_plain_http(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.to_ascii_lowercase().starts_with("http:"))
    }
}

struct FromUrl {
    region: Option<String>,
    table: Option<String>,
    endpoint: Option<String>,
}

fn parse(url: &str) -> Result<FromUrl> {
    let parsed = Url::parse(url).map_err(|_| Error::invalid(URL_FORM))?;
    let has_user = !parsed.username().is_empty() || parsed.password().is_some();
    if has_user {
        return Err(Error::invalid(
            "credentials do not belong into a DynamoDB URL: give them as option 'credentials', or leave them to \
            the AWS default chain",
        ));
    }
    let authority = url.split_once(':').is_some_and(|(_, rest)| rest.starts_with("//"));
    if !authority || parsed.port().is_some() || parsed.fragment().is_some() {
        return Err(Error::invalid(URL_FORM));
    }
    let mut endpoint = None;
    for (name, value) in parsed.query_pairs() {
        if name != "endpoint" {
            let shown = shown_parameter(&name);
            return Err(Error::invalid(format!(
                "the DynamoDB URL has an unknown query parameter{shown}; accepted: endpoint"
            )));
        }
        if endpoint.replace(value.into_owned()).is_some() {
            return Err(Error::invalid("the DynamoDB URL has several endpoints"));
        }
    }
    let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(FromUrl {
        region: parsed.host_str().and_then(present),
        table: present(parsed.path().strip_prefix('/').unwrap_or(parsed.path())),
        endpoint,
    })
}

/// What the URL or the option says; an error if both do and differ.
fn one_of(what: &str, option: &str, url: Option<String>, given: Option<String>) -> Result<Option<String>> {
    match (url, given) {
        (Some(url), Some(given)) if url != given => {
            Err(Error::invalid(format!("option '{option}' contradicts the {what} in the DynamoDB URL")))
        }
        (url, given) => Ok(given.or(url)),
    }
}

fn check_table(table: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if (3..=255).contains(&table.len()) && table.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid("a DynamoDB table name must be 3 to 255 letters, digits and characters of '_.-'"))
}

fn check_region(region: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if (1..=63).contains(&region.len()) && region.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid("an AWS region must be 1 to 63 letters, digits and hyphens, such as eu-west-1"))
}

fn check_endpoint(endpoint: &str) -> Result<()> {
    let parsed = Url::parse(endpoint).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if parsed.is_some() {
        return Ok(());
    }
    Err(Error::invalid("a DynamoDB endpoint must be a URL such as http://127.0.0.1:8000 or https://host"))
}

fn read_keys(options: &mut OptionReader) -> Result<Option<Keys>> {
    let access_key_id = options.string("accessKeyId")?;
    let secret_access_key = options.string("secretAccessKey")?;
    let session_token = options.string("sessionToken")?;
    // The AWS SDK for JavaScript adds these to credentials that have been through its hands.
    for name in ["$source", "accountId", "credentialScope", "expiration"] {
        options.skip(name);
    }
    match (access_key_id, secret_access_key) {
        (Some(access_key_id), Some(secret_access_key)) => {
            Ok(Some(Keys { access_key_id, secret_access_key, session_token }))
        }
        (None, None) if session_token.is_none() => Ok(None),
        _ => Err(Error::invalid("option 'credentials' needs both accessKeyId and secretAccessKey")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn read(url: &str, options: &str) -> Result<Config> {
        let mut options = OptionReader::parse(options)?;
        let config = Config::read(url, &mut options)?;
        options.finish()?;
        Ok(config)
    }

    #[test]
    fn urls_are_read() {
        for (url, region, table, endpoint) in [
            ("dynamodb://eu-west-1/my.table_1-x", Some("eu-west-1"), "my.table_1-x", None),
            ("dynamodb://eu-west-1", Some("eu-west-1"), "saga_store", None),
            ("dynamodb://eu-west-1/", Some("eu-west-1"), "saga_store", None),
            ("dynamodb://", None, "saga_store", None),
            ("dynamodb:///orders", None, "orders", None),
            (
                "dynamodb://local/orders?endpoint=http://127.0.0.1:8000",
                Some("local"),
                "orders",
                Some("http://127.0.0.1:8000"),
            ),
            (
                "dynamodb://x?endpoint=https%3A%2F%2Fdb.example.com%2Fa",
                Some("x"),
                "saga_store",
                Some("https://db.example.com/a"),
            ),
        ] {
            let config = read(url, "{}").unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(config.place.region.as_deref(), region, "{url}");
            assert_eq!(config.tables.payloads, table, "{url}");
            assert_eq!(config.place.endpoint.as_deref(), endpoint, "{url}");
            assert_eq!(config.place.is_plain_http(), url.contains("http:"), "{url}");
        }
    }

    #[test]
    fn wrong_urls_are_refused_without_their_secrets() {
        for url in [
            "dynamodb:hunter2",
            "dynamodb://key:hunter2@eu-west-1/table",
            "dynamodb://hunter2@eu-west-1/table",
            "dynamodb://eu-west-1:8000/table",
            "dynamodb://eu-west-1/table#hunter2",
            "dynamodb://eu-west-1/hunter2/more",
            "dynamodb://eu-west-1/xy",
            "dynamodb://eu_west/table",
            "dynamodb://eu-west-1/table?hunter2=1",
            "dynamodb://eu-west-1/table?endpoint=hunter2",
            "dynamodb://eu-west-1/table?endpoint=http://u:hunter2@host",
            "dynamodb://eu-west-1/table?endpoint=ftp://hunter2",
            "dynamodb://eu-west-1/table?endpoint=http://a&endpoint=http://b",
        ] {
            let error = read(url, "{}").err().unwrap_or_else(|| panic!("{url}"));
            assert_eq!(error.kind(), Kind::InvalidArgument, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn on_a_client_there_is_only_the_table_to_name() {
        let read = |json: &str| {
            let mut options = OptionReader::parse(json)?;
            let tables = read_tables(&mut options)?;
            options.finish().map(|()| (tables.payloads, tables.states))
        };
        let names = |payloads: &str, states: &str| (payloads.to_owned(), states.to_owned());
        assert_eq!(read("{}").unwrap(), names("saga_store", "saga_instances"));
        assert_eq!(read(r#"{"tableName": "my.orders"}"#).unwrap(), names("my.orders", "saga_instances"));
        assert_eq!(read(r#"{"statesTableName": "sagas"}"#).unwrap(), names("saga_store", "sagas"));
        for json in [
            r#"{"tableName": "x"}"#,
            r#"{"statesTableName": "a b"}"#,
            r#"{"statesTableName": "saga_store"}"#,
            r#"{"region": "eu-west-1"}"#,
            r#"{"endpoint": "http://h:1"}"#,
            r#"{"credentials": {}}"#,
        ] {
            assert_eq!(read(json).unwrap_err().kind(), Kind::InvalidArgument, "{json}");
        }
    }

    #[test]
    fn options_add_to_the_url_and_must_not_contradict_it() {
        let options = r#"{"tableName": "orders", "region": "eu-west-1", "endpoint": "http://h:1",
            "credentials": {"accessKeyId": "AKIA", "secretAccessKey": "hunter2", "sessionToken": "t0ken"}}"#;
        let config = read("dynamodb://", options).unwrap();
        assert_eq!((config.tables.payloads.as_str(), config.place.region.as_deref()), ("orders", Some("eu-west-1")));
        assert!(!format!("{:?}", config.place).contains("hunter2"));
        assert!(read("dynamodb://eu-west-1/orders?endpoint=http://h:1", options).is_ok());
        for url in ["dynamodb://eu-west-2", "dynamodb://eu-west-1/others", "dynamodb://?endpoint=http://h:2"] {
            let error = read(url, options).err().unwrap_or_else(|| panic!("{url}"));
            assert!(error.message().contains("contradicts"), "{error}");
        }
        for credentials in [
            r#"{"accessKeyId": "AKIA"}"#,
            r#"{"secretAccessKey": "hunter2"}"#,
            r#"{"sessionToken": "hunter2"}"#,
            r#"{"accessKeyId": "AKIA", "secretAccessKey": ""}"#,
            r#"{"accessKeyId": "AKIA", "secretAccessKey": 5}"#,
            r#"{"accessKeyID": "AKIA", "secretAccessKey": "hunter2"}"#,
            r#"{"accessKeyId": "AKIA", "secretAccessKey": "hunter2", "expires": 1}"#,
            r#""hunter2""#,
        ] {
            let error = read("dynamodb://", &format!(r#"{{"credentials": {credentials}}}"#)).err().unwrap();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{credentials}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        let of_the_sdk = r#"{"accessKeyId": "AKIA", "secretAccessKey": "x", "accountId": "1", "$source": {"CREDENTIALS_CODE": "e"}}"#;
        assert!(read("dynamodb://", &format!(r#"{{"credentials": {of_the_sdk}}}"#)).unwrap().place.keys.is_some());
        assert!(read("dynamodb://", r#"{"credentials": {}}"#).unwrap().place.keys.is_none());
    }
}
