//! A file whose locks nothing defends, and that somebody else in the process has open.

use std::fs::File;

use super::super::locks::tests::undefended;
use super::{find, open_with, put, wait};
use crate::error::{Error, Kind};

fn is_refusal(error: &Error) {
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Unsupported, false), "{error}");
    assert!(error.message().contains("{ client: handle }"), "{error}");
}

#[test]
fn is_refused_until_it_is_opened_anew() {
    let directory = undefended();
    let path = directory.path().join("sagas.db");
    let store = open_with(&path, "");
    wait(store.initialize()).unwrap();
    put(&store, "a", b"alpha", None).unwrap();
    assert!(find(&store, "a").unwrap().is_some());
    assert!(store.get_here("a").is_some(), "on the caller's thread");

    let others = File::open(&path).unwrap();
    let refused = |store: &crate::store::Store| {
        assert!(store.get_here("a").is_none());
        is_refusal(&put(store, "b", b"beta", None).unwrap_err());
        is_refusal(&find(store, "a").unwrap_err());
        is_refusal(&wait(store.initialize()).unwrap_err());
        assert!(wait(store.begin(None)).is_err());
    };
    refused(&store);
    drop(others);
    refused(&store);
    wait(store.close());

    let store = open_with(&path, "");
    assert!(find(&store, "a").unwrap().is_some());
    assert!(find(&store, "b").unwrap().is_none());
    wait(store.close());

    let _others = File::open(&path).unwrap();
    let store = open_with(&path, "");
    refused(&store);
    wait(store.close());
}
