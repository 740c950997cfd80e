//! What happens to bytes between the caller and the database.

pub mod compression;
pub mod streamed;
