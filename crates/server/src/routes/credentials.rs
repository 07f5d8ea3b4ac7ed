//! What is asked by those who have no credential yet: a token for a service account's secret or a user's password, and to be let in
//! by an invite.

use http::{Request, header};
use hyper::body::Incoming;
use pinyon_model::Result;
use pinyon_service::{Acceptance, IssuedToken, Password, SignIn};
use pinyon_wire::{
    admin,
    login::{LoginRequest, login_response},
    oauth::{TokenRequest, token_response},
};

use crate::{
    answer::Answer,
    app::{App, user_agent},
    listen::Peer,
};

/// Nobody has shown a credential before the body is read.
const BODY_MAX: usize = 16 << 10;

pub(super) async fn issue_token(app: &App, peer: Peer, request: Request<Incoming>) -> Result<Answer> {
    // What is not text is no type that is known.
    let content_type = request.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap_or("?").to_owned());
    let body = app.bodies.at_most(BODY_MAX).read(request).await?;
    let TokenRequest { client_id, client_secret } = match TokenRequest::parse(content_type.as_deref(), &body.bytes) {
        Ok(request) => request,
        Err(refusal) => return Ok(Answer::from(refusal.render()).no_store()),
    };
    let IssuedToken { token, expires_in_s } = app.service.issue_token(&client_id, client_secret.reveal(), &peer.source()).await?;
    Ok(Answer::ok(token_response(token.reveal(), expires_in_s)).no_store())
}

pub(super) async fn accept_invite(app: &App, peer: Peer, request: Request<Incoming>) -> Result<Answer> {
    let body = app.bodies.at_most(BODY_MAX).read(request).await?;
    let admin::AcceptRequest { token, name, password } = admin::accept_invite(&body.bytes)?;
    let password = password.map(|p| Password::choose(p.reveal())).transpose()?;
    let user = app.service.accept_invite(token.reveal(), Acceptance { name, password }, &peer.source()).await?;
    Ok(Answer::ok(admin::user_model(&user)))
}

pub(super) async fn login(app: &App, peer: Peer, request: Request<Incoming>) -> Result<Answer> {
    let user_agent = user_agent(request.headers());
    let body = app.bodies.at_most(BODY_MAX).read(request).await?;
    let LoginRequest { email, password, organization_id } = LoginRequest::from_json(&body.bytes)?;
    let password = Password::shown(password.reveal());
    let sign_in = SignIn { email, password, organization_id, source: peer.source(), user_agent };
    let (user, IssuedToken { token, expires_in_s }) = app.service.sign_in(sign_in).await?;
    Ok(Answer::ok(login_response(&user, token.reveal(), expires_in_s)).no_store())
}
