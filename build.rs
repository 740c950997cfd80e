//! Sets the linker flags a Node-API addon needs, on every platform.
fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
}
