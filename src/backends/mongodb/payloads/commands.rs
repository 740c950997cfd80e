//! The commands on payloads. Each is written once, by whichever [`Build`].

use bytes::Bytes;

use crate::backends::mongodb::build::Build;
use crate::contract::operation::Operation;
use crate::contract::payloads::Write;
use crate::time::Millis;

/// One put: id, bytes, expiry by the server's clock.
pub(crate) type Put<'a> = (&'a str, &'a Bytes, Option<Millis>);

/// Puts as one `update`: each replaces a whole document, or inserts it.
pub(crate) fn write_puts(command: &mut impl Build, collection: &str, puts: &[Put<'_>]) {
    command.text("update", collection).begin_array("updates");
    for (index, (id, data, expires_at)) in puts.iter().enumerate() {
        command.begin(&index.to_string()).begin("q").text("_id", id).end();
        command.begin("u").text("_id", id).binary("data", data);
        if let Some(at) = expires_at {
            command.date("expiresAt", *at);
        }
        command.end().flag("upsert", true).end();
    }
    command.end().flag("ordered", false);
}

/// The bytes that `write_puts` needs, and some more for the rest of the command.
pub(crate) fn size_of_puts(puts: &[Put<'_>]) -> usize {
    512 + puts.iter().map(|(id, data, _)| 2 * id.len() + data.len() + 128).sum::<usize>()
}

/// A delete or a touch; `there` says a time by the server's clock.
pub(crate) fn write_single(
    command: &mut impl Build,
    collection: &str,
    write: &Write,
    there: impl Fn(Millis) -> Millis,
) {
    let (id, now) = (write.id(), there(Millis::now()));
    match write {
        Write::Put { data, expires_at, .. } => {
            write_puts(command, collection, &[(id, data, expires_at.map(there))]);
        }
        Write::Delete { .. } => {
            command.text("delete", collection).begin_array("deletes").begin("0").begin("q").text("_id", id);
            write_live(command, now);
            command.end().int("limit", 1).end().end();
        }
        Write::Touch { expires_at, .. } => {
            command.text("update", collection).begin_array("updates").begin("0").begin("q").text("_id", id);
            write_live(command, now);
            command.end().begin("u").begin("$set").date("expiresAt", there(*expires_at)).end().end().end().end();
        }
    }
}

/// The bytes that `write_single` needs, and some more for the rest of the command.
pub(crate) fn size_of_single(write: &Write) -> usize {
    match write {
        Write::Put { id, data, expires_at } => size_of_puts(&[(id, data, *expires_at)]),
        Write::Delete { id } | Write::Touch { id, .. } => 512 + id.len(),
    }
}

/// A condition that an expired document does not meet, at `now` by the server's clock. One with an
/// `expiresAt` that is no date does: reading it tells what is wrong with it.
fn write_live(filter: &mut impl Build, now: Millis) {
    filter.begin("expiresAt").begin("$not").date("$lte", now).end().end();
}

/// Asks by the id alone, which servers answer on their shortest way; what is over is told by the
/// answer.
pub(crate) fn write_find(command: &mut impl Build, collection: &str, ids: &[&str], names_only: bool) {
    let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
    command.text("find", collection).begin("filter");
    if let [id] = ids {
        command.text("_id", id);
    } else {
        command.begin("_id").begin_array("$in");
        for (index, id) in ids.iter().enumerate() {
            command.text(&index.to_string(), id);
        }
        command.end().end();
    }
    command.end().begin("projection").int("_id", 1).int("expiresAt", 1);
    if !names_only {
        command.int("data", 1);
    }
    // More than there can be: the server keeps no cursor unless they exceed 16 MB. Where both are the same
    // FerretDB 1 keeps one, and with it a connection that its writes wait for.
    command.end().int("limit", count).int("batchSize", count.saturating_add(1));
}

/// The bytes that `write_find` needs, and some more for the rest of the command.
pub(crate) fn size_of_find(ids: &[&str]) -> usize {
    512 + ids.iter().map(|id| id.len() + 16).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::mongodb::build::Terms;
    use crate::backends::mongodb::document::{Writer, raw};
    use crate::backends::mongodb::objects::{ObjectWriter, to_document};
    use mongodb::bson::spec::BinarySubtype;
    use mongodb::bson::{Binary, DateTime, Document, doc};

    fn binary(bytes: &[u8]) -> Binary {
        Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
    }

    #[test]
    fn commands_are_what_the_driver_would_write() {
        let at = Millis(1_784_555_238_120);
        let mut command = Writer::with_capacity(64);
        let (some, none) = (Bytes::from_static(b"\0\xff"), Bytes::new());
        write_puts(&mut command, "saga_store", &[("ä", &some, Some(at)), ("b", &none, None)]);
        command.int("n", -5).long("txnNumber", 7);
        let concern = raw(&doc! { "w": "majority" }).unwrap();
        command.embed("writeConcern", &concern);
        write_live(&mut command, at);
        let expected = doc! {
            "update": "saga_store",
            "updates": [
                { "q": { "_id": "ä" }, "u": { "_id": "ä", "data": binary(&[0, 255]), "expiresAt": DateTime::from_millis(at.0) }, "upsert": true },
                { "q": { "_id": "b" }, "u": { "_id": "b", "data": binary(&[]) }, "upsert": true },
            ],
            "ordered": false,
            "n": -5,
            "txnNumber": 7_i64,
            "writeConcern": { "w": "majority" },
            "expiresAt": { "$not": { "$lte": DateTime::from_millis(at.0) } },
        };
        assert_eq!(command.finish().unwrap(), raw(&expected).unwrap());
    }

    #[test]
    fn clients_get_the_same_commands_as_the_driver() {
        let concern = raw(&doc! { "w": "majority", "wtimeout": 500_i64 }).unwrap();
        let terms = Terms {
            collection: "saga_store",
            write_concern: Some(&concern),
            read_concern: Some(&concern),
            max_time: Some(4_000),
        };
        let there = |at: Millis| Millis(at.0 / 1_000_000_000 * 1_000_000_000);
        let writes = [
            Write::Put { id: "a".into(), data: Bytes::from_static(b"x"), expires_at: Some(Millis(5_000_000_000)) },
            Write::Put { id: "a".into(), data: Bytes::new(), expires_at: None },
            Write::Delete { id: "ü".into() },
            Write::Touch { id: "a".into(), expires_at: Millis(7_000_000_000) },
        ];
        for write in &writes {
            let (mut bytes, mut object) = (Writer::with_capacity(0), ObjectWriter::default());
            write_single(&mut bytes, "saga_store", write, there);
            terms.end_write(&mut bytes);
            write_single(&mut object, "saga_store", write, there);
            terms.end_write(&mut object);
            same(bytes, object);
        }
        for ids in [&["a"][..], &["a", "b"]] {
            let (mut bytes, mut object) = (Writer::with_capacity(0), ObjectWriter::default());
            write_find(&mut bytes, "saga_store", ids, ids.len() == 1);
            terms.end_read(&mut bytes);
            write_find(&mut object, "saga_store", ids, ids.len() == 1);
            terms.end_read(&mut object);
            same(bytes, object);
        }
    }

    /// In the same order too: a command's name comes first.
    fn same(bytes: Writer, object: ObjectWriter) {
        let sent = Document::try_from(bytes.finish().unwrap()).unwrap();
        // Numbers have one type in JavaScript.
        let text = |document: &Document| format!("{document:?}").replace("Int32", "Int64");
        assert_eq!(text(&to_document(object.finish()).unwrap()), text(&sent));
    }

    #[test]
    fn payloads_go_to_clients_in_the_callers_own_memory() {
        let data = Bytes::from(vec![7; 100]);
        let mut object = ObjectWriter::default();
        write_puts(&mut object, "saga_store", &[("a", &data, None)]);
        let command = object.finish();
        let updates = command.get("updates").cloned().and_then(crate::contract::dynamic::Dynamic::into_list).unwrap();
        let Some(crate::contract::dynamic::Dynamic::Bytes(sent)) = updates[0].get("u").and_then(|u| u.get("data"))
        else {
            panic!("{updates:?}")
        };
        assert_eq!(sent.as_ptr(), data.as_ptr());
    }
}
