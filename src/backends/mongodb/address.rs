//! The connection string, read by the driver, and what a store makes of it. Nothing here needs
//! the network: the records of a `mongodb+srv` URL are asked for when the first operation connects.

use std::time::Duration;

use mongodb::bson::{self, Bson, Document, doc};
use mongodb::options::{Acknowledgment, ClientOptions, ConnectionString, HostInfo, ReadPreference};

use super::error;
use crate::error::{Error, Result};
use crate::url::shown_parameter;

/// The database where the URL names none.
const DATABASE: &str = "sagas";
/// What the servers call our connections, unless the URL says otherwise.
const APP_NAME: &str = "sagastore";
/// The longest collection name.
const MAX_COLLECTION: usize = 120;
/// The server's own limit.
const MAX_DATABASE: usize = 63;

/// Query parameters of a connection string. What the driver reads and then ignores is not here.
const ACCEPTED: [&str; 34] = [
    "appName",
    "authMechanism",
    "authMechanismProperties",
    "authSource",
    "connectTimeoutMS",
    "directConnection",
    "enableOverloadRetargeting",
    "heartbeatFrequencyMS",
    "journal",
    "loadBalanced",
    "localThresholdMS",
    "maxAdaptiveRetries",
    "maxConnecting",
    "maxIdleTimeMS",
    "maxPoolSize",
    "minPoolSize",
    "readConcernLevel",
    "readPreference",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverMonitoringMode",
    "serverSelectionTimeoutMS",
    "srvMaxHosts",
    "srvServiceName",
    "ssl",
    "tls",
    "tlsAllowInvalidCertificates",
    "tlsCAFile",
    "tlsCertificateKeyFile",
    "tlsInsecure",
    "uuidRepresentation",
    "w",
    "wTimeoutMS",
];

/// Where a store's data is, and how it is reached.
pub(super) struct Address {
    connection: ConnectionString,
    /// The database.
    pub(super) database: String,
    /// What a write waits for: `majority`, unless the URL says otherwise.
    pub(super) write_concern: Document,
    /// What the URL says of reads.
    pub(super) read_concern: Option<Document>,
    /// Whether writes carry a transaction number, so that the server can tell a repetition.
    pub(super) retry_writes: bool,
    /// The longest that reaching a server may take.
    pub(super) connect_timeout: Duration,
}

impl Address {
    /// Reads a connection string. No error shows any of it but the names of known parameters.
    pub(super) fn parse(url: &str, connect_timeout: Duration) -> Result<Self> {
        check_parameters(url)?;
        // Its errors repeat parts of the URL: they are dropped.
        let mut connection = ConnectionString::parse(url).map_err(|_| unreadable())?;
        if connection.read_preference.as_ref().is_some_and(|preference| *preference != ReadPreference::Primary) {
            return Err(Error::invalid(
                "parameter 'readPreference' of the connection string must be primary: a get must see the put before it",
            ));
        }
        let database = connection.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
        if database.len() > MAX_DATABASE {
            return Err(Error::invalid(format!(
                "the database in the connection string has a name of more than {MAX_DATABASE} bytes"
            )));
        }
        let shortest = |given: Option<Duration>| given.map_or(connect_timeout, |limit| limit.min(connect_timeout));
        connection.connect_timeout = Some(shortest(connection.connect_timeout.filter(|limit| !limit.is_zero())));
        connection.server_selection_timeout = Some(shortest(connection.server_selection_timeout));
        connection.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        Ok(Self {
            database,
            write_concern: write_concern(&connection)?,
            read_concern: match &connection.read_concern {
                Some(concern) => Some(bson::serialize_to_document(concern).map_err(|_| unreadable())?),
                None => None,
            },
            retry_writes: connection.retry_writes != Some(false),
            connect_timeout,
            connection,
        })
    }

    /// Where the servers are, for messages.
    pub(super) fn place(&self) -> String {
        match &self.connection.host_info {
            HostInfo::HostIdentifiers(hosts) => hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            HostInfo::DnsRecord(host) => host.clone(),
            _ => String::from("the hosts of the connection string"),
        }
    }

    /// The driver's options; asks for the DNS records of a `mongodb+srv` URL.
    pub(super) async fn options(&self) -> Result<ClientOptions> {
        let resolving = ClientOptions::parse(self.connection.clone());
        match tokio::time::timeout(self.connect_timeout, async { resolving.await }).await {
            Ok(options) => options.map_err(error::connecting),
            Err(_) => Err(error::unresolved()),
        }
    }
}

/// How a write is acknowledged.
fn write_concern(connection: &ConnectionString) -> Result<Document> {
    let given = connection.write_concern.clone().unwrap_or_default();
    let wait_for = match given.w {
        None | Some(Acknowledgment::Majority) => Bson::from("majority"),
        Some(Acknowledgment::Nodes(0)) => {
            return Err(Error::invalid(
                "parameter 'w' of the connection string must not be 0: a put would not know whether it is stored",
            ));
        }
        Some(Acknowledgment::Nodes(nodes)) => Bson::from(i32::try_from(nodes).unwrap_or(i32::MAX)),
        Some(Acknowledgment::Custom(tag)) => Bson::from(tag),
        Some(_) => return Err(unreadable()),
    };
    let mut concern = doc! { "w": wait_for };
    if let Some(journal) = given.journal {
        concern.insert("j", journal);
    }
    if let Some(limit) = given.w_timeout {
        concern.insert("wtimeout", i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    }
    Ok(concern)
}

fn unreadable() -> Error {
    Error::invalid(
        "the MongoDB connection string cannot be read; it is \
         mongodb://user:password@host:port,host:port/database?parameters or \
         mongodb+srv://user:password@host/database?parameters, with user and password URL-encoded",
    )
}

/// Refuses a parameter that is not accepted.
fn check_parameters(url: &str) -> Result<()> {
    let Some((_, query)) = url.split_once('?') else { return Ok(()) };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        if ACCEPTED.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        if ["sockettimeoutms", "waitqueuetimeoutms", "timeoutms"].contains(&name.to_ascii_lowercase().as_str()) {
            return Err(Error::invalid(
                "the driver has no socketTimeoutMS, waitQueueTimeoutMS or timeoutMS: give the option 'operationTimeoutMs'",
            ));
        }
        let likeness = |known: &str| strsim::jaro_winkler(&known.to_ascii_lowercase(), &name.to_ascii_lowercase());
        let near = ACCEPTED.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let hint = match near {
            Some(near) if likeness(near) > 0.85 => format!(" (did you mean '{near}'?)"),
            _ => String::new(),
        };
        return Err(Error::invalid(format!(
            "unknown parameter{} in the connection string{hint}; accepted: {}",
            shown_parameter(name),
            ACCEPTED.join(", ")
        )));
    }
    Ok(())
}

/// Checks `database`.
pub(super) fn check_database(name: &str) -> Result<()> {
    let forbidden = |c: char| "/\\. \"$\0".contains(c);
    if !name.is_empty() && name.len() <= MAX_DATABASE && !name.contains(forbidden) {
        return Ok(());
    }
    Err(Error::invalid(format!("the database's name must have 1 to {MAX_DATABASE} bytes, and none of '/\\. \"$'")))
}

/// Checks the name of a collection, the option of this name.
pub(super) fn check_collection(option: &str, name: &str) -> Result<()> {
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let dots = name.contains("..") || name.ends_with('.') || name.starts_with("system.");
    if starts_well && !dots && name.len() <= MAX_COLLECTION && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "option '{option}' must be 1 to {MAX_COLLECTION} letters, digits and characters of '_.-', \
         starting with a letter or '_', and not with 'system.'"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn parse(url: &str) -> Result<Address> {
        Address::parse(url, Duration::from_secs(5))
    }

    #[test]
    fn the_database_is_the_path() {
        for (url, database) in [
            ("mongodb://h", "sagas"),
            ("mongodb://h/", "sagas"),
            ("mongodb://h/?w=1", "sagas"),
            ("mongodb://a:1,b:2,[::1]:3/orders?replicaSet=rs0", "orders"),
            ("mongodb://u:p%40ss@h/orders?authSource=admin", "orders"),
            ("mongodb+srv://u:p@cluster.example.com/orders?retryWrites=true&w=majority&appName=x", "orders"),
        ] {
            assert_eq!(parse(url).unwrap().database, database, "{url}");
        }
    }

    #[test]
    fn writes_wait_for_the_majority_unless_the_url_says_otherwise() {
        for (query, expected) in [
            ("", doc! { "w": "majority" }),
            ("?w=majority", doc! { "w": "majority" }),
            ("?w=1", doc! { "w": 1 }),
            ("?w=dc", doc! { "w": "dc" }),
            ("?journal=true&wTimeoutMS=500", doc! { "w": "majority", "j": true, "wtimeout": 500_i64 }),
        ] {
            assert_eq!(parse(&format!("mongodb://h/{query}")).unwrap().write_concern, expected, "{query}");
        }
        assert!(parse("mongodb://h/?w=0").err().unwrap().message().contains("'w'"));
        assert!(!parse("mongodb://h/?retryWrites=false").unwrap().retry_writes);
        let linearizable = parse("mongodb://h/?readConcernLevel=linearizable").unwrap();
        assert_eq!(linearizable.read_concern, Some(doc! { "level": "linearizable" }));
    }

    #[test]
    fn timeouts_are_no_longer_than_the_options() {
        let connection = parse("mongodb://h/?connectTimeoutMS=100&serverSelectionTimeoutMS=60000").unwrap().connection;
        assert_eq!(connection.connect_timeout, Some(Duration::from_millis(100)));
        assert_eq!(connection.server_selection_timeout, Some(Duration::from_secs(5)));
        assert_eq!(connection.app_name.as_deref(), Some("sagastore"));
        let named = parse("mongodb://h/?appName=mine").unwrap().connection;
        assert_eq!(named.app_name.as_deref(), Some("mine"));
    }

    #[test]
    fn wrong_urls_are_refused_without_their_secrets() {
        for url in [
            "mongodb:hunter2",
            "mongodb://",
            "mongodb://u:hunter2@",
            "mongodb://u:hunter2@h:port",
            "mongodb://u:hunter2@h:99999",
            "mongodb://u:hunt/er2@h",
            "mongodb://u:hunter2?x@h",
            "mongodb://u:a?hunter2=b@h",
            "mongodb://u:hunter2@h/a b",
            "mongodb://u:hunter2@h/?hunter2=1",
            "mongodb://u:hunter2@h/?readPreference=secondary",
            "mongodb://u:hunter2@h/?readPreference=hunter2",
            "mongodb://u:hunter2@h/?w=0",
            "mongodb://u:hunter2@h/?maxPoolSize=hunter2",
            "mongodb://u:hunter2@h/?socketTimeoutMS=5",
            "mongodb+srv://u:hunter2@h:27017/",
            "mongodb+srv://u:hunter2@a.example.com,b.example.com/",
        ] {
            let error = parse(url).err().unwrap_or_else(|| panic!("{url}"));
            assert_eq!(error.kind(), Kind::InvalidArgument, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        let error = parse("mongodb://h/?maxPoolsize=5&retryWrite=true").err().unwrap();
        assert!(error.message().contains("did you mean 'retryWrites'"), "{error}");
        assert!(error.message().contains("accepted: appName"), "{error}");
    }

    #[test]
    fn database_names_are_checked() {
        assert!(["sagas", "my-app_1", "ü"].iter().all(|name| check_database(name).is_ok()));
        for name in ["", "a.b", "a b", "a/b", "a$b", &"x".repeat(64)] {
            assert_eq!(check_database(name).unwrap_err().kind(), Kind::InvalidArgument, "{name}");
        }
    }

    #[test]
    fn collection_names_are_checked() {
        for name in ["saga_store", "a", "_x", "my-app.sagas", &"x".repeat(120)] {
            assert!(check_collection("collectionName", name).is_ok(), "{name}");
        }
        for name in ["", "1a", "a b", "a$b", "system.x", "a..b", "a.", ".a", "ü", "a\0", &"x".repeat(121)] {
            assert_eq!(check_collection("collectionName", name).unwrap_err().kind(), Kind::InvalidArgument, "{name}");
        }
    }
}
