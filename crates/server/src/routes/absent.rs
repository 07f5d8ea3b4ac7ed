//! Lists of what no project can have yet, because making one answers 501. They are asked for by who may see it, and empty.

use bytes::Bytes;
use pinyon_model::{Permission, Result};
use pinyon_wire::{Operation, Route, control};

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(route: &Route, call: Call) -> Result<Answer> {
    call.service().permit_unbuilt(&call.ctx, Permission::ControlRead, None).await?;
    let body = match route.operation {
        Operation::ListBackups => control::no_backups(),
        Operation::ListCollections => control::no_collections(),
        Operation::ListAssistants => control::no_assistants(),
        _ => return Err(route.unimplemented()),
    };
    Ok(call.answer(Bytes::from_static(body)))
}
