//! What servers say of themselves.

use mongodb::bson::{Bson, Document, doc};

use super::channel::Carrier;
use crate::error::{Error, Kind};
use crate::time::Millis;

/// What kind of deployment answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deployment {
    /// Members that elect a primary.
    ReplicaSet,
    /// Routers before several replica sets.
    Sharded,
    /// One server, with no transactions.
    Standalone,
}

impl Deployment {
    /// Its name in `health()`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ReplicaSet => "replica set",
            Self::Sharded => "sharded cluster",
            Self::Standalone => "standalone",
        }
    }
}

/// The answer to `hello`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hello {
    pub(super) deployment: Deployment,
    pub(super) sessions: bool,
    /// The server's clock.
    pub(super) time: Option<Millis>,
}

impl Hello {
    /// Reads it.
    pub(super) fn of(reply: &Document) -> Self {
        let deployment = if reply.get_str("msg").is_ok_and(|kind| kind == "isdbgrid") {
            Deployment::Sharded
        } else if reply.contains_key("setName") {
            Deployment::ReplicaSet
        } else {
            Deployment::Standalone
        };
        Self {
            deployment,
            sessions: !matches!(reply.get("logicalSessionTimeoutMinutes"), None | Some(Bson::Null)),
            time: reply.get_datetime("localTime").ok().map(|time| Millis(time.timestamp_millis())),
        }
    }

    /// Whether there are transactions of several operations.
    pub(super) fn has_transactions(&self) -> bool {
        self.sessions && self.deployment != Deployment::Standalone
    }

    /// Whether an update that has found its document changes that very one.
    pub(super) async fn changes_atomically(&self, on: &impl Carrier) -> bool {
        // Who may not ask talks to another server.
        self.has_transactions()
            || on.run(doc! { "buildInfo": 1 }).await.map_or(true, |build| changes_atomically(&build))
    }

    /// Why there are none, and what it is that has none.
    pub(super) async fn refuse_transaction(&self, on: &impl Carrier) -> Error {
        let build = on.run(doc! { "buildInfo": 1 }).await.unwrap_or_default();
        let server = match (build.get_str("ferretdbVersion"), build.get_str("version")) {
            (Ok("unknown"), _) => String::from("FerretDB"),
            (Ok(version), _) => format!("FerretDB {version}"),
            (_, Ok(version)) => format!("this MongoDB {version} server"),
            _ => String::from("this server"),
        };
        let lacks = if self.deployment == Deployment::Standalone {
            "it is not part of a replica set or sharded cluster of MongoDB"
        } else {
            "it has no sessions"
        };
        Error::new(Kind::Unsupported, format!("{server} has no transactions: {lacks}"))
    }
}

/// Whether a server of this version changes a document atomically. FerretDB 1 finds it and changes it in two steps; one
/// that was built without a number is taken for it.
pub(super) fn changes_atomically(build: &Document) -> bool {
    !build.get_str("ferretdbVersion").is_ok_and(|version| version.starts_with("v1") || version == "unknown")
}

/// The server's version, and whose work it is.
pub(super) fn version(build: &Document) -> Option<String> {
    let emulated = build.get_str("ferretdbVersion");
    build.get_str("version").ok().map(|version| match emulated {
        Ok(ferret) => format!("{version} (FerretDB {ferret})"),
        Err(_) => version.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::DateTime;

    #[test]
    fn servers_say_what_they_are() {
        for (reply, deployment, sessions) in [
            (doc! { "setName": "rs0", "logicalSessionTimeoutMinutes": 30 }, Deployment::ReplicaSet, true),
            (doc! { "msg": "isdbgrid", "logicalSessionTimeoutMinutes": 30 }, Deployment::Sharded, true),
            (doc! { "logicalSessionTimeoutMinutes": 30 }, Deployment::Standalone, true),
            (doc! { "ismaster": true, "logicalSessionTimeoutMinutes": Bson::Null }, Deployment::Standalone, false),
        ] {
            let hello = Hello::of(&reply);
            assert_eq!((hello.deployment, hello.sessions, hello.time), (deployment, sessions, None), "{reply}");
        }
        let hello = Hello::of(&doc! { "localTime": DateTime::from_millis(5) });
        assert_eq!(hello.time, Some(Millis(5)));
    }
}
