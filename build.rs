//! Sets the linker flags a Node-API addon needs, on every platform, and compiles the locks of SQLite files.
fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
    #[cfg(feature = "sqlite")]
    locks();
}

/// `fcntl` is variadic and its numbers differ: see the files.
#[cfg(feature = "sqlite")]
fn locks() {
    const FILES: [&str; 2] = ["src/backends/sqlite/locks/shim.c", "src/backends/sqlite/locks/elsewhere.c"];
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    // Locks of Windows belong to handles, and need no help.
    if std::env::var_os("CARGO_CFG_UNIX").is_some() {
        cc::Build::new()
            .files(FILES)
            .std("gnu11")
            .define("_GNU_SOURCE", None)
            .define("_FILE_OFFSET_BITS", "64")
            .warnings(true)
            .extra_warnings(true)
            .compile("sagastore_locks");
    }
}
