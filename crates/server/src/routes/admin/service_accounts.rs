//! Service accounts of the caller's organization.

use pinyon_model::{Result, ServiceAccountId};
use pinyon_service::CreatedServiceAccount;
use pinyon_wire::admin;

use super::Call;
use crate::answer::Answer;

pub(super) async fn list(call: Call) -> Result<Answer> {
    let listing = admin::list_service_accounts(call.query())?;
    let page = call.service().list_service_accounts(&call.ctx, listing.request()).await?;
    Ok(call.answer(admin::service_account_page(&listing, &page)))
}

pub(super) async fn create(call: Call) -> Result<Answer> {
    let new = admin::create_service_account(call.body())?;
    let created = call.service().create_service_account(&call.ctx, new).await?;
    Ok(with_secret(&call, &created))
}

pub(super) async fn describe(call: Call) -> Result<Answer> {
    let account = call.service().describe_service_account(&call.ctx, id(&call)?).await?;
    Ok(call.answer(admin::service_account_model(&account)))
}

pub(super) async fn update(call: Call) -> Result<Answer> {
    let account = match admin::update_service_account(call.body())? {
        Some(name) => call.service().rename_service_account(&call.ctx, id(&call)?, name).await?,
        None => call.service().describe_service_account(&call.ctx, id(&call)?).await?,
    };
    Ok(call.answer(admin::service_account_model(&account)))
}

pub(super) async fn rotate_secret(call: Call) -> Result<Answer> {
    let created = call.service().rotate_service_account_secret(&call.ctx, id(&call)?).await?;
    Ok(with_secret(&call, &created))
}

pub(super) async fn delete(call: Call) -> Result<Answer> {
    call.service().delete_service_account(&call.ctx, id(&call)?).await?;
    Ok(Answer::empty(call.status))
}

fn with_secret(call: &Call, CreatedServiceAccount { account, secret }: &CreatedServiceAccount) -> Answer {
    call.answer(admin::created_service_account(account, secret.reveal())).no_store()
}

fn id(call: &Call) -> Result<ServiceAccountId> {
    ServiceAccountId::parse(call.param("service_account_id"))
}
