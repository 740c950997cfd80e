//! A connection of our own to the only server there is, without TLS: what groups need and no more, at a
//! fraction of what fred takes for each command. It knows nothing of reconnecting; when it breaks, everything
//! in flight has failed and the next operation connects (see `shared.rs`).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fred::error::Error as FredError;
use fred::socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::command::{Replies, Request};
use super::config::{Address, keepalive};
use super::error::ended;
use super::resp::{Incoming, Outgoing};

/// A connection.
pub(super) struct Wire {
    writer: Arc<Writer>,
}

/// Commands that are to be written, and who waits for their replies.
struct Writer {
    state: Mutex<WriterState>,
    wake: Notify,
}

struct WriterState {
    outgoing: Outgoing,
    awaited: mpsc::UnboundedSender<Awaited>,
}

/// A group whose replies are to come.
struct Awaited {
    count: usize,
    answer: oneshot::Sender<Replies>,
}

impl Wire {
    /// Connects. The connection has ended when the task has.
    pub(super) async fn connect(address: &Address) -> io::Result<(Self, JoinHandle<()>)> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&keepalive())?;
        let (awaited, groups) = mpsc::unbounded_channel();
        let state = Mutex::new(WriterState { outgoing: Outgoing::default(), awaited });
        let writer = Arc::new(Writer { state, wake: Notify::new() });
        let (incoming, outgoing) = stream.into_split();
        let shared = Arc::clone(&writer);
        let task = tokio::spawn(async move {
            let reason = tokio::select! {
                biased;
                read = read(incoming, groups) => read,
                written = write(outgoing, &shared) => written,
            };
            tracing::debug!(?reason, "a connection to Redis has ended");
        });
        Ok((Self { writer }, task))
    }

    /// Says who we are, and in which database.
    pub(super) async fn introduce(&self, address: &Address) -> Result<(), FredError> {
        let mut greetings = Vec::new();
        if let Some(password) = &address.password {
            let user = address.username.iter().map(String::as_str);
            greetings.push(words(["AUTH"].into_iter().chain(user).chain([password.as_str()])));
        }
        if let Some(database) = address.database.filter(|database| *database != 0) {
            greetings.push(words(["SELECT", &database.to_string()]));
        }
        for reply in self.send(&greetings).await {
            reply?;
        }
        Ok(())
    }

    /// Sends a group. What is sent stays so if nobody waits for the replies.
    pub(super) fn send(&self, requests: &[Request]) -> impl Future<Output = Replies> + Send + use<> {
        let (answer, replies) = oneshot::channel();
        let count = requests.len();
        if count == 0 {
            drop(answer.send(Vec::new()));
        } else {
            let mut writer = self.writer.state();
            // In the order in which they are written.
            if writer.awaited.send(Awaited { count, answer }).is_ok() {
                for request in requests {
                    writer.outgoing.push(request);
                }
                drop(writer);
                self.writer.wake.notify_one();
            }
        }
        async move { replies.await.unwrap_or_else(|_| vec![Err(ended()); count]) }
    }

    /// Asks the server to end it, behind everything that is under way.
    pub(super) async fn quit(&self) {
        self.send(&[words(["QUIT"])]).await;
    }
}

impl Writer {
    fn state(&self) -> MutexGuard<'_, WriterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command without a key.
pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Request {
    let words = words.into_iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    Request::Words { key: Bytes::new(), words }
}

/// Writes what there is, as much at once as there is.
async fn write(mut stream: OwnedWriteHalf, writer: &Writer) -> io::Result<()> {
    loop {
        writer.wake.notified().await;
        let mut parts = writer.state().outgoing.take();
        stream.write_all_buf(&mut parts).await?;
    }
}

/// Reads replies and answers the groups, in their order, until the server ends it.
async fn read(stream: OwnedReadHalf, mut groups: mpsc::UnboundedReceiver<Awaited>) -> io::Result<()> {
    let mut incoming = Incoming::new(stream);
    loop {
        let group = tokio::select! {
            biased;
            group = groups.recv() => group,
            there = incoming.is_there() => match (there?, groups.try_recv()) {
                (true, Ok(group)) => Some(group),
                (true, Err(_)) => return Err(io::ErrorKind::InvalidData.into()),
                (false, _) => None,
            },
        };
        let Some(Awaited { count, answer }) = group else { return Ok(()) };
        let mut replies = Vec::with_capacity(count);
        for _ in 0..count {
            replies.push(incoming.next().await?);
        }
        drop(answer.send(replies));
    }
}

#[cfg(test)]
mod tests {
    use fred::error::ErrorKind;
    use fred::prelude::Value;
    use futures_util::future::{FutureExt, join, join3};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    fn get() -> Vec<Request> {
        vec![Request::Get { key: "a".into() }]
    }

    /// A wire, the task behind it, and the server's end.
    async fn connected() -> (Wire, JoinHandle<()>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (host, port) = ("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
        let address = Address { host, port, username: None, password: None, database: None };
        let (wire, accepted) = join(Wire::connect(&address), listener.accept()).await;
        let (wire, task) = wire.unwrap();
        (wire, task, accepted.unwrap().0)
    }

    async fn sent(server: &mut TcpStream) -> String {
        let mut read = vec![0; 4_096];
        let length = server.read(&mut read).await.unwrap();
        String::from_utf8(read[..length].into()).unwrap()
    }

    fn failed(replies: Replies) -> bool {
        replies.into_iter().all(|reply| reply.is_err_and(|error| *error.kind() == ErrorKind::IO))
    }

    #[test]
    fn groups_are_written_at_once_and_answered_in_their_order() {
        run(async {
            let (wire, _task, mut server) = connected().await;
            let groups = (wire.send(&get()), wire.send(&[get(), get()].concat()), wire.send(&[]));
            let playing = async {
                assert_eq!(sent(&mut server).await, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n".repeat(3));
                for byte in b":1\r\n-ERR no\r\n:3\r\n" {
                    server.write_all(&[*byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let ((first, second, none), ()) = join(join3(groups.0, groups.1, groups.2), playing).await;
            assert!(first == [Ok(Value::Integer(1))] && none.is_empty());
            assert!(second[0].as_ref().is_err_and(|error| error.details() == "ERR no"));
            assert_eq!(second[1], Ok(Value::Integer(3)));
        });
    }

    #[test]
    fn replies_that_nobody_waits_for_are_not_those_of_others() {
        run(async {
            let (wire, _task, mut server) = connected().await;
            drop(wire.send(&get()));
            let second = wire.send(&get());
            server.write_all(b":1\r\n:2\r\n").await.unwrap();
            assert_eq!(second.await, [Ok(Value::Integer(2))]);
        });
    }

    #[test]
    fn everything_fails_when_it_ends_and_so_does_what_comes_later() {
        run(async {
            for end in [&b""[..], b"+O", b"$100000\r\nabc", b"what?\r\n"] {
                let (wire, task, mut server) = connected().await;
                let groups = (wire.send(&get()), wire.send(&get()));
                sent(&mut server).await;
                server.write_all(end).await.unwrap();
                if !end.starts_with(b"what") {
                    drop(server);
                }
                assert!(failed(groups.0.await) && failed(groups.1.await));
                task.await.unwrap();
                assert!(failed(wire.send(&get()).await));
            }
        });
    }

    #[test]
    fn a_server_that_speaks_unasked_is_no_redis() {
        run(async {
            let (wire, task, mut server) = connected().await;
            server.write_all(b"+hello\r\n").await.unwrap();
            task.await.unwrap();
            assert!(failed(wire.send(&get()).await));
        });
    }

    #[test]
    fn it_says_who_it_is() {
        run(async {
            let (wire, _task, mut server) = connected().await;
            let address = |username: Option<&str>, password: Option<&str>, database| Address {
                host: String::new(),
                port: 0,
                username: username.map(str::to_owned),
                password: password.map(str::to_owned),
                database,
            };
            for (address, words) in [
                (
                    address(Some("u"), Some("p"), Some(2)),
                    "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n",
                ),
                (address(None, Some("p"), Some(0)), "*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n"),
            ] {
                let playing = async {
                    assert_eq!(sent(&mut server).await, words);
                    server.write_all("-WRONGPASS no\r\n".repeat(words.matches('*').count()).as_bytes()).await.unwrap();
                };
                let (introduced, ()) = join(wire.introduce(&address), playing).await;
                assert_eq!(introduced.unwrap_err().kind(), &ErrorKind::Auth);
            }
            assert!(wire.introduce(&address(Some("default"), None, None)).now_or_never().unwrap().is_ok());
        });
    }
}
