//! A scripted server for tests: it speaks the protocol, takes itself for the primary of a replica
//! set, and notes what it is sent.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The opcode of `OP_MSG`.
const MESSAGE: i32 = 2_013;

/// What to do with a command.
pub(super) enum Reply {
    /// Answer.
    Say(Document),
    /// Answer after a while.
    Late(Duration, Document),
    /// Close the connection.
    HangUp,
    /// Read it, and say nothing.
    Never,
}

type Script = dyn Fn(&Document) -> Reply + Send + Sync;

/// The server; it ends with the test.
pub(super) struct Peer {
    port: u16,
    commands: Arc<Mutex<Vec<Document>>>,
    task: JoinHandle<()>,
}

impl Peer {
    /// `hello` is added to what it says of itself; `script` answers everything else.
    pub(super) async fn start(hello: Document, script: impl Fn(&Document) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let commands: Arc<Mutex<Vec<Document>>> = Arc::default();
        let (noted, script): (_, Arc<Script>) = (Arc::clone(&commands), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, script, hello) = (Arc::clone(&noted), Arc::clone(&script), hello.clone());
                tokio::spawn(async move { drop(serve(stream, port, &hello, &noted, &*script).await) });
            }
        });
        Self { port, commands, task }
    }

    /// Its URL.
    pub(super) fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/", self.port)
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The commands so far, without those that the driver sends of itself.
    pub(super) fn commands(&self) -> Vec<Document> {
        self.commands.lock().unwrap().clone()
    }

    /// The names of the commands so far.
    pub(super) fn names(&self) -> Vec<String> {
        self.commands().iter().map(|command| name(command).to_owned()).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A command's name.
pub(super) fn name(command: &Document) -> &str {
    command.keys().next().map_or("", String::as_str)
}

async fn serve(
    mut stream: TcpStream,
    port: u16,
    hello: &Document,
    noted: &Mutex<Vec<Document>>,
    script: &Script,
) -> io::Result<()> {
    loop {
        let length = stream.read_i32_le().await?;
        let request = stream.read_i32_le().await?;
        let (_, opcode) = (stream.read_i32_le().await?, stream.read_i32_le().await?);
        assert_eq!(opcode, MESSAGE);
        let mut body = vec![0; usize::try_from(length).unwrap() - 16];
        stream.read_exact(&mut body).await?;
        // Four bytes of flags, then one section of kind 0.
        let command = Document::from_reader(&body[5..]).unwrap();
        let reply = match name(&command) {
            "hello" | "isMaster" => Reply::Say(greeting(port, hello)),
            "endSessions" | "buildInfo" => Reply::Say(doc! { "version": "8.0.0", "ok": 1 }),
            _ => {
                noted.lock().unwrap().push(command.clone());
                if is_numbered_and_about_many(&command) {
                    let message = "Cannot use (or request) retryable writes with multi=true";
                    Reply::Say(doc! { "ok": 0, "code": 72, "codeName": "InvalidOptions", "errmsg": message })
                } else {
                    script(&command)
                }
            }
        };
        let answer = match reply {
            Reply::Say(document) => document.to_vec().unwrap(),
            Reply::Late(pause, document) => {
                tokio::time::sleep(pause).await;
                document.to_vec().unwrap()
            }
            Reply::HangUp => return Ok(()),
            Reply::Never => continue,
        };
        let mut message = Vec::new();
        for number in [21 + i32::try_from(answer.len()).unwrap(), 0, request, MESSAGE, 0] {
            message.extend_from_slice(&number.to_le_bytes());
        }
        message.push(0);
        message.extend_from_slice(&answer);
        stream.write_all(&message).await?;
    }
}

/// What a replica set refuses, outside of transactions.
fn is_numbered_and_about_many(command: &Document) -> bool {
    let has = |list: &str, is: fn(&Document) -> bool| {
        let statements = command.get_array(list).map(Vec::as_slice).unwrap_or_default();
        statements.iter().filter_map(|statement| statement.as_document()).any(is)
    };
    let is_multi = |statement: &Document| statement.get_bool("multi").ok() == Some(true);
    let is_unlimited = |statement: &Document| statement.get_i32("limit").ok() == Some(0);
    let is_numbered = command.contains_key("txnNumber") && !command.contains_key("autocommit");
    is_numbered && (has("updates", is_multi) || has("deletes", is_unlimited))
}

fn greeting(port: u16, more: &Document) -> Document {
    let mut hello = doc! {
        "helloOk": true,
        "ismaster": true,
        "isWritablePrimary": true,
        "setName": "rs0",
        "hosts": [format!("127.0.0.1:{port}")],
        "me": format!("127.0.0.1:{port}"),
        "maxBsonObjectSize": 16_777_216,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "minWireVersion": 0,
        "maxWireVersion": 21,
        "logicalSessionTimeoutMinutes": 30,
        "localTime": DateTime::now(),
        "ok": 1,
    };
    for (name, value) in more {
        if value.as_null().is_some() {
            hello.remove(name);
        } else {
            hello.insert(name, value.clone());
        }
    }
    hello
}
