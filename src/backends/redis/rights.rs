//! What the user of the connection may run, and what the server has.
//!
//! - One script asks by `redis.acl_check_cmd` (Redis 7), which runs nothing. It gets whole commands: Redis 7.0 ends where
//!   one lacks its keys.
//! - A command that is renamed is found by `COMMAND INFO`, where that may be asked.
//! - Of what cannot be asked nothing is told.

use fred::error::Error as FredError;

use super::channel::Servers;
use super::config::Prefixes;
use super::error;
use crate::error::{Error, Kind, Result};

/// Commands, and what cannot be done without one of them. `K` is a key.
struct Need {
    commands: &'static [&'static str],
    without: &'static str,
}

static NEEDS: [Need; 4] = [
    Need {
        commands: &["SET K v PX 1", "GET K", "UNLINK K", "PEXPIREAT K 1", "PEXPIRE K 1", "EXISTS K", "STRLEN K"],
        without: "not all can be done with payloads",
    },
    Need {
        commands: &[
            "EVAL s 1 K",
            "EVALSHA s 1 K",
            "DEL K",
            "HDEL K f",
            "HEXISTS K f",
            "HGET K f",
            "HINCRBY K f 1",
            "HMGET K f",
            "HSET K f v",
            "HSTRLEN K f",
            "INCRBY K 1",
            "LLEN K",
            "LRANGE K 0 1",
            "PERSIST K",
            "PTTL K",
            "RPUSH K v",
            "SADD K m",
            "SPOP K",
            "SREM K m",
            "TIME",
            "ZADD K 1 m",
            "ZCARD K",
            "ZCOUNT K 0 1",
            "ZRANGE K 0 1",
            "ZRANGEBYSCORE K 0 1",
            "ZREM K m",
            "ZREVRANGE K 0 1",
            "ZREVRANGEBYSCORE K 1 0",
        ],
        without: "store.states, store.executions, store.outbox and store.inbox cannot be used, or not all of them",
    },
    Need {
        commands: &[
            "XADD K * f v",
            "XDEL K 1-1",
            "XGROUP CREATE K g 0",
            "XINFO STREAM K",
            "XLEN K",
            "XRANGE K - +",
            "XREADGROUP GROUP g c COUNT 1 STREAMS K >",
        ],
        without: "store.outbox cannot be used",
    },
    Need { commands: &["MULTI", "EXEC"], without: "store.transaction cannot be used" },
];

/// The commands that may be run with none of the keys. `ARGV`: how many keys, the keys, the commands.
const ASK: &str = "local missing = {} \
    if redis.acl_check_cmd then \
      local keys = tonumber(ARGV[1]) \
      for at = keys + 2, #ARGV do \
        local may = false \
        for key = 2, keys + 1 do \
          local words = {} \
          for word in string.gmatch(ARGV[at], '%S+') do words[#words + 1] = word == 'K' and ARGV[key] or word end \
          local ran, answer = pcall(redis.acl_check_cmd, unpack(words)) \
          may = may or (ran and answer) \
        end \
        if not may then missing[#missing + 1] = ARGV[at] end \
      end \
    end \
    return missing";

fn name_of(command: &str) -> &str {
    command.split(' ').next().unwrap_or(command)
}

fn all() -> impl Iterator<Item = &'static str> {
    NEEDS.iter().flat_map(|need| need.commands.iter().copied())
}

/// The same text, which need not live for ever.
fn shorter<'a>(command: &'static str) -> &'a str {
    command
}

/// What cannot be done on one of the servers, and for want of which commands, in words.
pub(super) async fn lacking(servers: &impl Servers, prefixes: &Prefixes) -> Result<Vec<String>> {
    let mut missing: Vec<String> = Vec::new();
    for node in servers.nodes().await? {
        missing.extend(not_permitted(servers, node.as_ref(), prefixes).await?);
        missing.extend(not_there(servers, node.as_ref()).await?);
    }
    Ok(in_words(&missing))
}

fn in_words(missing: &[String]) -> Vec<String> {
    let told = |need: &Need| {
        let names = need.commands.iter().map(|command| name_of(command));
        let names: Vec<&str> = names.filter(|name| missing.iter().any(|known| known == name)).collect();
        let (names, without) = (names.join(", "), need.without);
        (!names.is_empty()).then(|| format!("this Redis user may not run {names} (ACL, or renamed): {without}"))
    };
    NEEDS.iter().filter_map(told).collect()
}

async fn not_permitted<S: Servers>(servers: &S, node: Option<&S::Name>, prefixes: &Prefixes) -> Result<Vec<String>> {
    let Prefixes { payloads, states, executions, outbox, inbox } = prefixes;
    let keys: Vec<String> = [format!("{payloads}:"), states.clone(), executions.clone(), outbox.clone(), inbox.clone()]
        .map(|prefix| format!("{prefix}sagastore.probe"))
        .into();
    let count = keys.len().to_string();
    let keys = keys.iter().map(|key| &**key);
    let words: Vec<&str> = ["EVAL", ASK, "0", &count].into_iter().chain(keys).chain(all().map(shorter)).collect();
    match servers.ask(node, &words).await {
        Ok(missing) => {
            let missing: Vec<String> = missing.convert().map_err(|_: FredError| error::unexpected())?;
            Ok(missing.iter().map(|command| name_of(command).to_owned()).collect())
        }
        Err(error) if error::is_forbidden(&error) || is_unknown(&error) => Ok(vec![String::from("EVAL")]),
        Err(error) => untold(error),
    }
}

async fn not_there<S: Servers>(servers: &S, node: Option<&S::Name>) -> Result<Vec<String>> {
    let mut words = vec!["COMMAND", "INFO"];
    words.extend(all().map(name_of));
    match servers.ask(node, &words).await {
        Ok(known) if known.is_array() => {
            let known = known.into_array();
            let missing = all().zip(known).filter(|(_, known)| known.is_null());
            Ok(missing.map(|(command, _)| name_of(command).to_owned()).collect())
        }
        Ok(_) => Ok(Vec::new()),
        Err(error) => untold(error),
    }
}

/// A server that is not reached is an error. What it refuses to tell is not.
fn untold(error: Error) -> Result<Vec<String>> {
    if error.is_retryable() || matches!(error.kind(), Kind::Connection | Kind::Timeout) {
        return Err(error);
    }
    Ok(Vec::new())
}

fn is_unknown(error: &Error) -> bool {
    let says = |text: &str| text.to_ascii_lowercase().contains("unknown command");
    says(error.message()) || error.causes().iter().any(|cause| says(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_what_it_is_for() {
        let told = |names: &[&str]| in_words(&names.iter().map(|name| String::from(*name)).collect::<Vec<_>>());
        assert!(told(&[]).is_empty());
        let of_scripts = told(&["EVALSHA", "EVAL", "EVAL"]);
        assert_eq!(of_scripts.len(), 1);
        assert!(of_scripts[0].contains("EVAL, EVALSHA (") && of_scripts[0].contains("store.states"), "{of_scripts:?}");
        let of_several = told(&["XADD", "SET"]);
        assert!(of_several[0].contains("payloads") && of_several[1].contains("store.outbox"), "{of_several:?}");
    }

    #[test]
    fn commands_are_whole() {
        // Those without a key.
        let bare = ["TIME", "MULTI", "EXEC"];
        assert!(all().all(|command| bare.contains(&command) || command.split(' ').any(|word| word == "K")));
        assert!(all().all(|command| command.split(' ').all(|word| !word.is_empty())));
    }
}
