//! Invites to the caller's organization. What accepts one goes to the inviter in a header, once, while no mail is sent.

use pinyon_model::{InviteId, Result};
use pinyon_service::CreatedInvite;
use pinyon_wire::admin;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let listing = admin::list_invites(call.query())?;
    let page = call.service().list_invites(&call.ctx, listing.request()).await?;
    Ok(call.answer(admin::invite_page(&listing, &page, call.ctx.now_ms)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let new = admin::create_invite(call.body())?;
    let created = call.service().create_invite(&call.ctx, new).await?;
    Ok(with_token(&call, &created))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let invite = call.service().describe_invite(&call.ctx, id(&call)?).await?;
    Ok(call.answer(admin::invite_model(&invite, call.ctx.now_ms)))
}

pub(super) async fn resend(call: Call) -> Result<Answer> {
    let created = call.service().resend_invite(&call.ctx, id(&call)?).await?;
    Ok(with_token(&call, &created))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_invite(&call.ctx, id(&call)?).await?;
    Ok(Answer::empty(call.status))
}

fn with_token(call: &Call, CreatedInvite { invite, token }: &CreatedInvite) -> Answer {
    let answer = call.answer(admin::invite_model(invite, call.ctx.now_ms));
    match token {
        Some(token) => answer.invite_token(token.reveal()),
        None => answer,
    }
}

fn id(call: &Call) -> Result<InviteId> {
    InviteId::parse(call.param("invite_id"))
}
