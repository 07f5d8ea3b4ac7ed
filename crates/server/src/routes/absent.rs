//! The list of what no project can have yet, because making one answers 501: assistants. It is asked for by who may see it, and empty.

use bytes::Bytes;
use pinyon_model::{Permission, Result};
use pinyon_wire::control;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    call.service().permit_unbuilt(&call.ctx, Permission::ControlRead, None).await?;
    Ok(call.answer(Bytes::from_static(control::no_assistants())))
}
