//! People: how they get a password, come in by it, and what ends their sessions.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use pinyon_model::{
    AuditEvent, AuditOutcome, Email, Error, ErrorCode, NewInvite, OrganizationId, PageRequest, Plane, Principal, Role, RoleGrant, User,
    UserId,
};
use pinyon_service::{Acceptance, InviteMail, IssuedToken, Mail, Mailer, OpContext, Password, Service, ServiceOptions, SignIn};

use crate::common::{House, audit_events, close, code};

const PASSWORD: &str = "correct horse battery";

fn invite(email: &str, role: Role) -> NewInvite {
    NewInvite { email: Email::new(email).unwrap(), grants: vec![RoleGrant::new(role, None).unwrap()] }
}

/// A user who was invited and came with this password.
async fn comes(house: &House, service: &Arc<Service>, email: &str, password: Option<&str>) -> User {
    let created = service.create_invite(&house.operator(), invite(email, Role::OrgMember)).await.unwrap();
    let acceptance = Acceptance { name: None, password: password.map(|p| Password::choose(p).unwrap()) };
    service.accept_invite(created.token.unwrap().reveal(), acceptance, "192.0.2.9").await.unwrap()
}

pub(crate) fn with(email: &str, password: &str, source: &str) -> SignIn {
    SignIn {
        email: Email::new(email).unwrap(),
        password: Password::shown(password),
        organization_id: None,
        source: source.into(),
        user_agent: "test/1".into(),
    }
}

async fn token(service: &Arc<Service>, email: &str, password: &str) -> IssuedToken {
    service.sign_in(with(email, password, "192.0.2.7")).await.unwrap().1
}

/// Who a token is of, on each side of the API alike.
async fn holder(service: &Arc<Service>, token: &IssuedToken) -> Option<UserId> {
    let mut found = Vec::new();
    for plane in [Plane::Admin, Plane::Control, Plane::Data] {
        found.push(match service.authenticate(plane, Some(token.token.reveal()), "").await.as_deref() {
            Ok(Principal::User { id, .. }) => Some(*id),
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.code, ErrorCode::Unauthenticated);
                None
            }
        });
    }
    assert!(found.iter().all(|f| *f == found[0]));
    found[0]
}

async fn context(house: &House, service: &Arc<Service>, token: &IssuedToken) -> OpContext {
    let principal = service.authenticate(Plane::Admin, Some(token.token.reveal()), "").await.unwrap();
    OpContext { principal, ..house.operator() }
}

/// The entries about sign-ins. Failed ones are written beside the answer: they are waited for.
async fn logins(house: &House, service: &Service, n: usize) -> Vec<AuditEvent> {
    for _ in 0..500 {
        let events = audit_events(service, &house.operator()).await;
        let found: Vec<_> = events.into_iter().filter(|e| e.action == "login" && e.resource_type == "user").collect();
        if found.len() >= n {
            assert_eq!(found.len(), n, "{found:#?}");
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there are no {n} entries");
}

#[tokio::test]
async fn a_user_comes_in_for_twelve_hours() {
    let house = House::new();
    let service = house.open().await;
    let ada = comes(&house, &service, "ada@example.com", Some(PASSWORD)).await;
    let token = token(&service, "ada@example.com", PASSWORD).await;
    assert_eq!((token.expires_in_s, token.token.reveal().starts_with("pinyon_ut_")), (43_200, true));
    assert_eq!(holder(&service, &token).await, Some(ada.id));
    close(service).await;
    let service = house.open().await;
    assert_eq!(holder(&service, &token).await, Some(ada.id), "a token outlives a restart");
    house.clock.advance_ms(43_200_000 - 1);
    assert_eq!(holder(&service, &token).await, Some(ada.id));
    house.clock.advance_ms(1);
    assert_eq!(holder(&service, &token).await, None);
    close(service).await;
}

#[tokio::test]
async fn nothing_tells_who_is_there() {
    let house = House::new();
    let service = house.open().await;
    comes(&house, &service, "ada@example.com", Some(PASSWORD)).await;
    comes(&house, &service, "bob@example.com", None).await;
    let elsewhere = SignIn { organization_id: Some(OrganizationId::from_bytes([9; 16])), ..with("ada@example.com", PASSWORD, "s") };
    for sign_in in [
        with("ada@example.com", "correct horse batterY", "s"),
        with("ada@example.com", "", "s"),
        with("bob@example.com", PASSWORD, "s"),
        with("bob@example.com", "", "s"),
        with("eve@example.com", PASSWORD, "s"),
        with("ada@example.com", &"x".repeat(100_000), "s"),
        elsewhere,
    ] {
        let told = format!("{sign_in:?}");
        assert!(!told.contains(PASSWORD));
        let error = service.sign_in(sign_in).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::Unauthenticated, "The address or the password is wrong"), "{told}");
    }
    close(service).await;
}

#[tokio::test]
async fn sign_ins_are_in_the_audit_log() {
    let house = House::new();
    let service = house.open().await;
    let ada = comes(&house, &service, "ada@example.com", Some(PASSWORD)).await;
    token(&service, "ada@example.com", PASSWORD).await;
    for _ in 0..3 {
        let _ = service.sign_in(with("ada@example.com", "wrong", "192.0.2.8")).await;
    }
    for n in 0..3 {
        let _ = service.sign_in(with(&format!("nobody{n}@example.com"), "wrong", "192.0.2.8")).await;
    }
    let found = logins(&house, &service, 3).await;
    let success = &found[0];
    assert_eq!((success.resource_id.as_str(), success.actor.principal_id.clone()), ("ada@example.com", ada.id.to_string()));
    assert_eq!((&success.outcome, success.source.as_str(), success.user_agent.as_str()), (&AuditOutcome::Success, "192.0.2.7", "test/1"));
    let failed = found.iter().find(|e| e.outcome != AuditOutcome::Success && e.resource_id == "ada@example.com").unwrap();
    assert_eq!((failed.actor.principal_type.as_str(), failed.count), ("user", 1), "its repeats are counted");
    let unknown = found.iter().find(|e| e.actor.principal_type == "unknown").unwrap();
    assert_eq!((unknown.actor.principal_id.as_str(), unknown.resource_id.as_str()), ("192.0.2.8", ""));
    assert!(found.iter().all(|e| !format!("{e:?}").contains("nobody")), "what strangers type is not kept");
    close(service).await;
    let service = house.open().await;
    let counted: u64 = logins(&house, &service, 5).await.iter().filter(|e| e.source == "192.0.2.8").map(|e| e.count).sum();
    assert_eq!(counted, 6);
    close(service).await;
}

#[tokio::test]
async fn guesses_are_slowed_down() {
    let house = House::new();
    let service = house.open().await;
    comes(&house, &service, "ada@example.com", Some(PASSWORD)).await;
    for email in ["ada@example.com", "nobody@example.com"] {
        for n in 0..10 {
            let refused = service.sign_in(with(email, "wrong", &format!("192.0.2.{n}"))).await;
            assert_eq!(code(refused), Some(ErrorCode::Unauthenticated), "{n}");
        }
        house.clock.advance_ms(1_000);
        let refused = service.sign_in(with(email, PASSWORD, "192.0.2.77")).await.unwrap_err();
        assert_eq!((refused.code, refused.retry_after_s), (ErrorCode::ResourceExhausted, Some(899)), "{email}");
        house.clock.advance_ms(899_000);
    }
    token(&service, "ada@example.com", PASSWORD).await;
    close(service).await;
}

#[tokio::test]
async fn what_ends_the_sessions_of_a_user() {
    let house = House::new();
    let service = house.open().await;
    let ada = comes(&house, &service, "ada@example.com", Some(PASSWORD)).await;
    let bob = comes(&house, &service, "bob@example.com", Some(PASSWORD)).await;
    let bobs = token(&service, "bob@example.com", PASSWORD).await;

    let (one, two) = (token(&service, "ada@example.com", PASSWORD).await, token(&service, "ada@example.com", PASSWORD).await);
    service.sign_out(&context(&house, &service, &one).await).await.unwrap();
    assert_eq!((holder(&service, &one).await, holder(&service, &two).await), (None, None));

    let old = token(&service, "ada@example.com", PASSWORD).await;
    let me = context(&house, &service, &old).await;
    let new = || Password::choose("another password").unwrap();
    assert_eq!(code(service.change_password(&me, Password::shown("wrong"), new()).await), Some(ErrorCode::Forbidden));
    assert_eq!(holder(&service, &old).await, Some(ada.id), "nothing changed");
    let (_, fresh) = service.change_password(&me, Password::shown(PASSWORD), new()).await.unwrap();
    assert_eq!((holder(&service, &old).await, holder(&service, &fresh).await), (None, Some(ada.id)));
    assert_eq!(code(service.sign_in(with("ada@example.com", PASSWORD, "s")).await), Some(ErrorCode::Unauthenticated));

    service.set_password(&house.operator(), ada.id, Password::choose(PASSWORD).unwrap()).await.unwrap();
    assert_eq!(holder(&service, &fresh).await, None);
    let last = token(&service, "ada@example.com", PASSWORD).await;
    service.delete_user(&house.operator(), ada.id).await.unwrap();
    assert_eq!(holder(&service, &last).await, None);
    assert_eq!(code(service.sign_in(with("ada@example.com", PASSWORD, "s")).await), Some(ErrorCode::Unauthenticated));
    assert_eq!(holder(&service, &bobs).await, Some(bob.id), "another's are no matter");
    close(service).await;
}

#[tokio::test]
async fn only_users_have_passwords_and_only_the_operator_sets_anothers() {
    let house = House::new();
    let service = house.open().await;
    comes(&house, &service, "ada@example.com", Some(PASSWORD)).await;
    let bob = comes(&house, &service, "bob@example.com", None).await;
    let ada = context(&house, &service, &token(&service, "ada@example.com", PASSWORD).await).await;
    let password = || Password::choose(PASSWORD).unwrap();
    assert_eq!(code(service.set_password(&ada, bob.id, password()).await), Some(ErrorCode::Forbidden));
    let nobody = UserId::from_bytes([7; 16]);
    assert_eq!(code(service.set_password(&house.operator(), nobody, password()).await), Some(ErrorCode::NotFound));
    let key = house.editor(&service).await;
    for ctx in [&key, &house.operator()] {
        assert_eq!(code(service.sign_out(ctx).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(service.change_password(ctx, password(), password()).await), Some(ErrorCode::Forbidden));
    }
    let page = PageRequest { limit: 100, after: None };
    assert_eq!(code(service.list_users(&ada, None, page).await), Some(ErrorCode::Forbidden), "a member's token has a member's rights");
    close(service).await;
}

/// A password is kept as a hash that is sealed: its text and the hash's are in no file.
#[tokio::test]
async fn passwords_are_in_no_file() {
    let house = House::new();
    let service = house.open().await;
    comes(&house, &service, "ada@example.com", Some(PASSWORD)).await;
    token(&service, "ada@example.com", PASSWORD).await;
    close(service).await;
    for (path, bytes) in crate::common::files(house.path()) {
        for needle in [PASSWORD.as_bytes(), b"argon2id", b"ada@example.com"] {
            assert!(!bytes.windows(needle.len()).any(|w| w == needle), "{}", path.display());
        }
    }
}

/// Carries mail to nobody, or refuses it.
#[derive(Default)]
struct Post {
    sent: Mutex<Vec<Mail>>,
    is_down: Mutex<bool>,
}

#[async_trait::async_trait]
impl Mailer for Post {
    async fn send(&self, mail: Mail) -> Result<(), Error> {
        if *self.is_down.lock().unwrap() {
            return Err(Error::unavailable("The mail could not be sent"));
        }
        self.sent.lock().unwrap().push(mail);
        Ok(())
    }
}

impl Post {
    async fn open(house: &House) -> (Arc<Self>, Arc<Service>) {
        let post = Arc::new(Self::default());
        let invite_mail = Some(InviteMail { mailer: post.clone(), accept_url: Some("https://pinyon.example.com/join".into()) });
        let service = house.open_with(ServiceOptions { invite_mail, ..house.options() }).await.unwrap();
        (post, service)
    }
    fn sent(&self) -> usize {
        self.sent.lock().unwrap().len()
    }
    /// The token in the last mail.
    fn token(&self) -> String {
        let sent = self.sent.lock().unwrap();
        let text = &sent.last().unwrap().text;
        text.lines().find_map(|l| l.strip_prefix("https://pinyon.example.com/join#token=")).unwrap().to_owned()
    }
}

#[tokio::test]
async fn invites_go_out_by_mail_and_to_nobody_else() {
    let house = House::new();
    let (post, service) = Post::open(&house).await;
    let operator = house.operator();
    let created = service.create_invite(&operator, invite("ada@example.com", Role::OrgMember)).await.unwrap();
    assert!(created.token.is_none());
    assert_eq!((post.sent(), post.sent.lock().unwrap()[0].to.as_str()), (1, "ada@example.com"));
    let first = post.token();
    assert!(service.resend_invite(&operator, created.invite.id).await.unwrap().token.is_none());
    assert_eq!(code(service.accept_invite(&first, Acceptance::default(), "").await), Some(ErrorCode::Unauthenticated));
    assert_eq!(service.accept_invite(&post.token(), Acceptance::default(), "").await.unwrap().email.as_str(), "ada@example.com");
    assert_eq!(code(service.create_invite(&operator, invite("ada@example.com", Role::OrgMember)).await), Some(ErrorCode::AlreadyExists));
    assert_eq!(post.sent(), 2, "what is refused sends nothing");
    close(service).await;
}

#[tokio::test]
async fn a_mail_that_does_not_go_out_leaves_nothing_behind() {
    let house = House::new();
    let (post, service) = Post::open(&house).await;
    let operator = house.operator();
    *post.is_down.lock().unwrap() = true;
    let page = PageRequest { limit: 100, after: None };
    assert_eq!(code(service.create_invite(&operator, invite("ada@example.com", Role::OrgMember)).await), Some(ErrorCode::Unavailable));
    assert_eq!(service.list_invites(&operator, page).await.unwrap().items, []);
    *post.is_down.lock().unwrap() = false;
    let created = service.create_invite(&operator, invite("ada@example.com", Role::OrgMember)).await.unwrap();
    *post.is_down.lock().unwrap() = true;
    house.clock.advance_ms(1_000);
    let later = house.operator();
    assert_eq!(code(service.resend_invite(&later, created.invite.id).await), Some(ErrorCode::Unavailable));
    assert_eq!(service.describe_invite(&later, created.invite.id).await.unwrap(), created.invite, "nothing changed");
    assert!(service.accept_invite(&post.token(), Acceptance::default(), "").await.is_ok(), "the mail that went out is good");
    close(service).await;
}

#[tokio::test]
async fn a_hundred_resends_an_hour() {
    let house = House::new();
    let (post, service) = Post::open(&house).await;
    let created = service.create_invite(&house.operator(), invite("ada@example.com", Role::OrgMember)).await.unwrap();
    for _ in 0..100 {
        service.resend_invite(&house.operator(), created.invite.id).await.unwrap();
    }
    let refused = service.resend_invite(&house.operator(), created.invite.id).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after_s, post.sent()), (ErrorCode::ResourceExhausted, Some(3_600), 101));
    house.clock.advance_ms(3_600_000 - 1);
    assert_eq!(code(service.resend_invite(&house.operator(), created.invite.id).await), Some(ErrorCode::ResourceExhausted));
    house.clock.advance_ms(1);
    assert!(service.resend_invite(&house.operator(), created.invite.id).await.is_ok());
    close(service).await;
}
