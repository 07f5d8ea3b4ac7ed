//! Users of the caller's organization.

use pinyon_model::{Result, UserId};
use pinyon_wire::admin;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let (email, listing) = admin::list_users(call.query())?;
    let page = call.service().list_users(&call.ctx, email, listing.request()).await?;
    Ok(call.answer(admin::user_page(&listing, &page)))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let user = call.service().describe_user(&call.ctx, id(&call)?).await?;
    Ok(call.answer(admin::user_model(&user)))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_user(&call.ctx, id(&call)?).await?;
    Ok(Answer::empty(call.status))
}

fn id(call: &Call) -> Result<UserId> {
    UserId::parse(call.param("user_id"))
}
