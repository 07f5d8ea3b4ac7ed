use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use pinyon_model::{ErrorCode, Plane, Principal, ProjectId, Role};
use pinyon_service::{ApiKeySecret, AuthMode, NewApiKey, OpContext, RootKey, ServiceOptions};

use crate::common::{House, close, code, project, revoke, spec};

fn new_key(name: &str, secret: Option<&str>) -> NewApiKey {
    let secret = secret.map(|s| ApiKeySecret::import(s).unwrap());
    NewApiKey { name: name.into(), roles: vec![Role::ControlPlaneViewer], secret, ..NewApiKey::default() }
}

#[tokio::test]
async fn the_first_start_makes_a_key_that_works() {
    let house = House::new();
    let service = house.open().await;
    let key = service.take_bootstrap_key().unwrap();
    assert!(service.take_bootstrap_key().is_none());
    assert!(key.secret.reveal().starts_with("pcsk_"));
    let principal = service.authenticate(Plane::Data, Some(key.secret.reveal()), "").await.unwrap();
    let Principal::ApiKey { id, project_id, grants, .. } = &*principal else { panic!() };
    assert_eq!((*id, *project_id), (key.key.id, service.default_project()));
    assert_eq!(grants.on_project(*project_id), Role::ProjectEditor.permissions());
    let me = OpContext { principal, ..house.operator() };
    service.create_index(&me, spec("first")).await.unwrap();
    close(service).await;
}

#[tokio::test]
async fn unknown_keys_are_refused() {
    let house = House::new();
    let service = house.open().await;
    let key = service.create_api_key(&house.operator(), new_key("k", None)).await.unwrap();
    let secret = key.secret.reveal();
    assert!(service.authenticate(Plane::Data, Some(secret), "").await.is_ok());
    let other = ApiKeySecret::import(&format!("{}x", &secret[..secret.len() - 1])).unwrap();
    let mut cases = vec![None, Some(""), Some("x"), Some("pcsk_"), Some(&secret[..secret.len() - 1]), Some(other.reveal())];
    let (upper, long, padded) = (secret.to_uppercase(), "x".repeat(100_000), format!(" {secret}"));
    cases.extend([Some(upper.as_str()), Some(long.as_str()), Some(padded.as_str())]);
    for bad in cases {
        let refused = service.authenticate(Plane::Data, bad, "192.0.2.1").await.unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::Unauthenticated, "Invalid API key."));
    }
    close(service).await;
}

#[tokio::test]
async fn an_existing_secret_goes_on_working() {
    let house = House::new();
    let service = house.open().await;
    // One of any shape, and one that has our shape and comes from another installation.
    let elsewhere = House::new();
    let there = elsewhere.open().await;
    let foreign = there.take_bootstrap_key().unwrap().secret;
    close(there).await;
    for secret in ["3f9a-legacy-key.7!", foreign.reveal()] {
        let key = service.create_api_key(&house.operator(), new_key("old", Some(secret))).await.unwrap();
        let principal = service.authenticate(Plane::Data, Some(secret), "").await.unwrap();
        assert!(matches!(&*principal, Principal::ApiKey { id, .. } if *id == key.key.id));
        assert_eq!(code(service.create_api_key(&house.operator(), new_key("again", Some(secret))).await), Some(ErrorCode::AlreadyExists));
        revoke(&service, &house.operator(), secret).await.unwrap();
        assert!(service.authenticate(Plane::Data, Some(secret), "").await.is_err());
    }
    close(service).await;
}

#[tokio::test]
async fn revoked_is_refused_at_once_and_after_a_restart() {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    for way in 0..3 {
        let key = service.create_api_key(&operator, new_key("k", None)).await.unwrap();
        let secret = key.secret.reveal().to_owned();
        let which = match way {
            0 => key.key.id.to_string(),
            1 => key.key.hint.clone(),
            _ => secret.clone(),
        };
        // A caller that never stops asking is not told yes once the revocation has answered.
        let revoked = Arc::new(AtomicBool::new(false));
        let asking = {
            let (service, secret, revoked) = (service.clone(), secret.clone(), revoked.clone());
            tokio::spawn(async move {
                let mut late = 0;
                for _ in 0..2_000 {
                    let before = revoked.load(Ordering::SeqCst);
                    if service.authenticate(Plane::Data, Some(&secret), "").await.is_ok() && before {
                        late += 1;
                    }
                    tokio::task::yield_now().await;
                }
                late
            })
        };
        assert_eq!(revoke(&service, &operator, &which).await.unwrap(), key.key.id);
        revoked.store(true, Ordering::SeqCst);
        assert!(service.authenticate(Plane::Data, Some(&secret), "").await.is_err());
        assert_eq!(asking.await.unwrap(), 0);
        assert_eq!(code(revoke(&service, &operator, &which).await), Some(ErrorCode::NotFound));
    }
    let kept = service.create_api_key(&operator, new_key("kept", None)).await.unwrap();
    let gone = service.create_api_key(&operator, new_key("gone", None)).await.unwrap();
    revoke(&service, &operator, &gone.key.id.to_string()).await.unwrap();
    close(service).await;
    let service = house.open().await;
    assert!(service.authenticate(Plane::Data, Some(kept.secret.reveal()), "").await.is_ok());
    assert!(service.authenticate(Plane::Data, Some(gone.secret.reveal()), "").await.is_err());
    close(service).await;
}

#[tokio::test]
async fn listing_shows_no_secret() {
    let house = House::new();
    let service = house.open().await;
    let operator = house.operator();
    let other = service.create_project(&operator, project("other")).await.unwrap();
    let key = service.create_api_key(&operator, NewApiKey { project_id: Some(other.id), ..new_key("mine", None) }).await.unwrap();
    assert_eq!(service.list_api_keys(&operator, None).await.unwrap().len(), 2, "the bootstrap key too");
    let listed = service.list_api_keys(&operator, Some(other.id)).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&key.key));
    assert!(key.secret.reveal().starts_with(&listed[0].hint) && listed[0].hint.len() == 11);
    assert!(!format!("{key:?}").contains(&key.secret.reveal()[12..]), "a secret is not printed");
    close(service).await;
}

#[tokio::test]
async fn what_a_key_may_be() {
    let house = House::new();
    let limits = pinyon_service::Limits { api_keys_per_project: Some(3), ..Default::default() };
    let service = house.open_with(ServiceOptions { limits, ..house.options() }).await.unwrap();
    let operator = house.operator();
    for (name, ok) in [("", false), (&*"n".repeat(81), false), ("a\nb", false), (&*"n".repeat(80), true), ("é", true)] {
        assert_eq!(service.create_api_key(&operator, new_key(name, None)).await.is_ok(), ok, "{name}");
    }
    assert_eq!(code(service.create_api_key(&operator, new_key("fourth", None)).await), Some(ErrorCode::QuotaExceeded));
    let nowhere = NewApiKey { project_id: Some(ProjectId::from_bytes([9; 16])), ..new_key("k", None) };
    assert_eq!(code(service.create_api_key(&operator, nowhere).await), Some(ErrorCode::NotFound));
    let ambiguous = revoke(&service, &operator, "pcsk_").await.unwrap_err();
    assert_eq!(ambiguous.code, ErrorCode::InvalidArgument);
    close(service).await;
}

#[tokio::test]
async fn for_development_any_key_will_do() {
    let house = House::new();
    let service = house.open_with(ServiceOptions { auth: AuthMode::AnyKey, ..house.options() }).await.unwrap();
    let viewer = service.create_api_key(&house.operator(), new_key("viewer", None)).await.unwrap();
    for secret in [None, Some(""), Some("pclocal"), Some("anything at all")] {
        let principal = service.authenticate(Plane::Data, secret, "").await.unwrap();
        let me = OpContext { principal, ..house.operator() };
        assert!(matches!(&*me.principal, Principal::ApiKey { project_id, .. } if *project_id == service.default_project()));
        service.list_indexes(&me).await.unwrap();
    }
    let principal = service.authenticate(Plane::Data, Some(viewer.secret.reveal()), "").await.unwrap();
    let me = OpContext { principal, ..house.operator() };
    assert_eq!(code(service.create_index(&me, spec("x")).await), Some(ErrorCode::Forbidden), "a key that is known is what it is");
    close(service).await;
}

#[tokio::test]
async fn the_root_key_can_be_exchanged() {
    let mut house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("x")).await.unwrap();
    let exported = service.export_root(&house.operator()).await.unwrap();
    assert_eq!(exported.fingerprint(), house.root.fingerprint());
    let new = RootKey::generate();
    service.rotate_root(&house.operator(), new.clone()).await.unwrap();
    close(service).await;
    assert_eq!(code(house.open_with(house.options()).await), Some(ErrorCode::FailedPrecondition), "the old key opens nothing");
    house.root = new;
    let service = house.open().await;
    assert_eq!(service.list_indexes(&me).await.unwrap().len(), 1);
    close(service).await;
}

#[tokio::test]
async fn one_process_owns_the_directory() {
    let house = House::new();
    let service = house.open().await;
    assert_eq!(code(house.open_with(house.options()).await), Some(ErrorCode::FailedPrecondition));
    close(service).await;
    close(house.open().await).await;
}
