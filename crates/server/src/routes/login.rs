//! What a user does with its own sessions and password.

use pinyon_model::Result;
use pinyon_service::{IssuedToken, Password};
use pinyon_wire::login::{PasswordRequest, login_response};

use super::Call;
use crate::answer::Answer;

pub(super) async fn logout(call: Call) -> Result<Answer> {
    call.service().sign_out(&call.ctx).await?;
    Ok(Answer::empty(call.status))
}

pub(super) async fn change_password(call: Call) -> Result<Answer> {
    let PasswordRequest { old_password, password } = PasswordRequest::from_json(call.body())?;
    let (old, new) = (Password::shown(old_password.reveal()), Password::choose(password.reveal())?);
    let (user, IssuedToken { token, expires_in_s }) = call.service().change_password(&call.ctx, old, new).await?;
    Ok(call.answer(login_response(&user, token.reveal(), expires_in_s)).no_store())
}
