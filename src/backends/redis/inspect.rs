//! Looking at the servers: is everything as a store needs it, how are they, how much is there.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;

use super::channel::{Servers, escaped, read_clock, scan};
use super::command::Request;
use super::config::Prefixes;
use super::error;
use super::executions::Executions;
use super::rights;
use super::states::reindex;
use crate::contract::report::{Probe, Usage};
use crate::error::{Detail, Error, Kind, Result};

/// The first version that has PXAT.
const OLDEST: (u64, u64) = (6, 2);

/// Checks every server; answers warnings.
pub(super) async fn initialize(servers: &impl Servers, prefixes: &Prefixes) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for node in servers.nodes().await? {
        servers.ask(node.as_ref(), &["PING"]).await?;
        // INFO may be forbidden; then nothing is known, which is no warning.
        if let Ok(info) = servers.ask(node.as_ref(), &["INFO", "server"]).await {
            check_version(&info.as_string().unwrap_or_default())?;
        }
        if let Ok(info) = servers.ask(node.as_ref(), &["INFO", "memory"]).await {
            warnings.extend(eviction_warning(&info.as_string().unwrap_or_default()));
        }
    }
    warnings.dedup();
    warnings.extend(rights::lacking(servers, prefixes).await?);
    Executions { on: servers, prefix: &prefixes.executions }.initialize().await?;
    warnings.extend(reindex::warning(servers, &prefixes.states).await?);
    Ok(warnings)
}

/// The value of a line of INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn check_version(info: &str) -> Result<()> {
    let Some(version) = field(info, "redis_version") else { return Ok(()) };
    let mut numbers = version.split('.').map_while(|part| part.parse::<u64>().ok());
    let Some(major) = numbers.next() else { return Ok(()) };
    if (major, numbers.next().unwrap_or(0)) >= OLDEST {
        return Ok(());
    }
    let (major, minor) = OLDEST;
    Err(Error::new(Kind::Unsupported, format!("Redis {version} is too old: expiries need {major}.{minor} or later")))
}

fn eviction_warning(info: &str) -> Option<String> {
    let policy = field(info, "maxmemory_policy")?;
    let limited = field(info, "maxmemory").is_some_and(|limit| limit != "0");
    (limited && policy != "noeviction").then(|| {
        format!(
            "Redis may evict payloads when its memory is full: maxmemory-policy is {policy}, it should be noeviction"
        )
    })
}

/// Asks all servers for a sign of life, and for what the store needs of them.
pub(super) async fn probe(servers: &impl Servers, prefixes: &Prefixes) -> Result<Probe> {
    let nodes = servers.nodes().await?;
    for node in &nodes {
        servers.ask(node.as_ref(), &["PING"]).await?;
    }
    read_clock(servers).await?;
    let first = nodes.first().and_then(Option::as_ref);
    let info = servers.ask(first, &["INFO", "server"]).await;
    let info = info.ok().and_then(|info| info.as_string());
    let server_version = info.and_then(|info| field(&info, "redis_version").map(str::to_owned));
    let mut details = Vec::new();
    if let Some(ahead) = servers.clock().ahead() {
        details.push(("clockOffsetMs", Detail::Number(ahead)));
    }
    if first.is_some() {
        details.push(("primaries", Detail::count(nodes.len() as u64)));
    }
    if let Some((limit, policy)) = memory(servers, &nodes).await {
        details.push(("maxmemory", Detail::count(limit)));
        details.push(("maxmemoryPolicy", Detail::Text(policy)));
    }
    let mut probe = Probe { server_version, degraded: None, details };
    probe.complain(rights::lacking(servers, prefixes).await?);
    Ok(probe)
}

/// The limit of a server's memory, and what happens at it: those of the first one that may evict something, or else of
/// the first one that tells. INFO may be forbidden.
async fn memory<S: Servers>(servers: &S, nodes: &[Option<S::Name>]) -> Option<(u64, String)> {
    let mut told = None;
    for node in nodes {
        let Ok(info) = servers.ask(node.as_ref(), &["INFO", "memory"]).await else { continue };
        let info = info.as_string().unwrap_or_default();
        let Some(policy) = field(&info, "maxmemory_policy") else { continue };
        let limit = field(&info, "maxmemory").and_then(|limit| limit.parse().ok()).unwrap_or(0);
        let found = (limit, policy.to_owned());
        if eviction_warning(&info).is_some() {
            return Some(found);
        }
        told = told.or(Some(found));
    }
    told
}

/// Counts the payloads. Redis has no index of them: this reads all keys of the database.
pub(super) async fn usage(servers: &impl Servers, prefix: &str) -> Result<Usage> {
    let mut usage = Usage::default();
    let pattern = format!("{}:*", escaped(prefix));
    for node in servers.nodes().await? {
        let (mut seen, hasher) = (HashSet::new(), RandomState::new());
        let mut cursor = String::from("0");
        loop {
            let (next, mut keys) = scan(servers, node.as_ref(), &cursor, &pattern).await?;
            // SCAN may tell a key twice.
            keys.retain(|key| seen.insert(hasher.hash_one(key)));
            count(servers, keys, &mut usage).await?;
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
    }
    Ok(usage)
}

async fn count(servers: &impl Servers, keys: Vec<Bytes>, usage: &mut Usage) -> Result<()> {
    let requests = keys.into_iter().map(|key| Request::Length { key }).collect();
    for reply in servers.send(requests).await? {
        match reply {
            // A key that has gone since the SCAN counts as an empty one.
            Ok(length) => {
                usage.payloads += 1;
                usage.bytes += length.as_u64().ok_or_else(error::unexpected)?;
            }
            // A key of another type is no payload.
            Err(error) if error.kind() == Kind::CorruptData => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_unsupported() {
        for version in ["6.2.0", "7.0.15", "8.0.0-m01", "255.255.255", "valkey"] {
            assert!(check_version(&format!("# Server\r\nredis_version:{version}\r\n")).is_ok(), "{version}");
        }
        for version in ["6.0.16", "5.0.7", "2.8"] {
            let error = check_version(&format!("redis_version:{version}\r\n")).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported, "{version}");
        }
        assert!(check_version("").is_ok());
    }

    #[test]
    fn eviction_is_warned_of() {
        assert_eq!(eviction_warning("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"), None);
        assert_eq!(eviction_warning("maxmemory:1000\r\nmaxmemory_policy:noeviction\r\n"), None);
        let warning = eviction_warning("maxmemory:1000\r\nmaxmemory_policy:volatile-lru\r\n").unwrap();
        assert!(warning.contains("volatile-lru"));
    }
}
