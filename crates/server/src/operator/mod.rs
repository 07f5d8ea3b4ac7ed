//! What the owner of a data directory can do, through a running server's socket or on the directory itself: one set of
//! commands, one piece of code that carries them out.

mod audit;
mod backups;
mod bounds;
mod cmek;
mod command;
mod deleted;
mod execute;
mod private_access;
mod root_key;
mod rows;
mod secret;
mod socket;

pub(crate) use bounds::duration_ms;
pub(crate) use command::{Command, Order, Output};
pub(crate) use private_access::AccessChange;
pub(crate) use root_key::RootKeyFile;
pub(crate) use rows::CheckRows;
pub(crate) use secret::Secret;
pub(crate) use socket::{SOCKET_NAME, bind, send, serve};
