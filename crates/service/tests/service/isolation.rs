//! Two projects with an index of one name each never see each other.

use pinyon_model::{DeleteSelector, ErrorCode, IndexChange, Prefix, Role, Update, UpdateTarget};

use crate::common::{House, close, code, id, key_roles, metadata, namespace, project, query, record, spec};

#[tokio::test]
async fn one_name_in_two_projects() {
    let house = House::new();
    let service = house.open().await;
    let other = service.create_project(&house.operator(), project("other")).await.unwrap();
    let mine = house.editor(&service).await;
    let theirs = house.caller(&service, Some(other.id), &[Role::ProjectEditor]).await;
    service.create_index(&mine, spec("docs")).await.unwrap();
    service.create_index(&theirs, spec("docs")).await.unwrap();
    service.create_index(&theirs, spec("secret")).await.unwrap();
    let (my_host, their_host) = (service.find_index(&mine, "docs").await.unwrap(), service.find_index(&theirs, "docs").await.unwrap());
    assert_ne!(my_host.id(), their_host.id());
    assert_eq!(service.resolve_index_by_name(&other.short_id(), "docs").unwrap().id(), their_host.id());

    let ns = namespace("");
    service.upsert(&mine, &my_host, &ns, vec![record("a", [1.0, 0.0, 0.0])]).await.unwrap();
    service.upsert(&theirs, &their_host, &ns, vec![record("b", [1.0, 0.0, 0.0])]).await.unwrap();
    let found = service.query(&mine, &my_host, &ns, query([1.0, 0.0, 0.0])).await.unwrap();
    assert_eq!(found.matches.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["a"]);

    // The control plane: not mine is not there, to the letter.
    assert_eq!(service.list_indexes(&mine).await.unwrap().len(), 1);
    for call in ["describe", "configure", "delete"] {
        let ask = async |name: &str| match call {
            "describe" => service.describe_index(&mine, name).await.unwrap_err(),
            "configure" => service.configure_index(&mine, name, IndexChange::default()).await.unwrap_err(),
            _ => service.delete_index(&mine, name).await.unwrap_err(),
        };
        let (not_mine, mut not_there) = (ask("secret").await, ask("nobody").await);
        not_there.message = not_there.message.replace("nobody", "secret");
        assert_eq!(not_mine, not_there, "{call}");
        assert_eq!(not_mine.code, ErrorCode::NotFound, "{call}");
    }

    // The data plane: another project's key is an unknown key, for every operation and every role.
    let update = || Update { target: UpdateTarget::Id(id("b")), dense: None, sparse: None, set_metadata: Some(metadata(&[("x", "y")])) };
    for role in key_roles() {
        let me = house.caller(&service, None, &[role]).await;
        let host = &their_host;
        let refusals = [
            service.upsert(&me, host, &ns, vec![record("x", [0.0, 0.0, 1.0])]).await.unwrap_err(),
            service.update(&me, host, &ns, update()).await.unwrap_err(),
            service.delete(&me, host, &ns, DeleteSelector::All).await.unwrap_err(),
            service.query(&me, host, &ns, query([1.0, 0.0, 0.0])).await.unwrap_err(),
            service.fetch(&me, host, &ns, vec![id("b")]).await.unwrap_err(),
            service.fetch_by_metadata(&me, host, &ns, pinyon_model::Filter::And(vec![]), 1, None).await.unwrap_err(),
            service.list(&me, host, &ns, &Prefix::default(), 1, None).await.unwrap_err(),
            service.stats(&me, host, None).await.unwrap_err(),
            service.create_namespace(&me, host, namespace("x"), None).await.unwrap_err(),
            service.list_namespaces(&me, host, &Prefix::default(), 1, None).await.unwrap_err(),
            service.describe_namespace(&me, host, &ns).await.unwrap_err(),
            service.delete_namespace(&me, host, &ns).await.unwrap_err(),
        ];
        for refused in refusals {
            assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::Unauthenticated, "Invalid API key."), "{role:?}");
        }
    }
    let there = service.fetch(&theirs, &their_host, &ns, vec![id("b")]).await.unwrap();
    assert_eq!(there.records, [record("b", [1.0, 0.0, 0.0])]);

    // Deleting one leaves the other.
    service.delete_index(&mine, "docs").await.unwrap();
    assert_eq!(service.query(&theirs, &their_host, &ns, query([1.0, 0.0, 0.0])).await.unwrap().matches.len(), 1);
    assert_eq!(code(service.query(&mine, &my_host, &ns, query([1.0, 0.0, 0.0])).await), Some(ErrorCode::NotFound));
    close(service).await;
}

#[tokio::test]
async fn projects() {
    let house = House::new();
    let limits = pinyon_service::Limits { projects_per_organization: Some(3), ..Default::default() };
    let service = house.open_with(pinyon_service::ServiceOptions { limits, ..house.options() }).await.unwrap();
    let operator = house.operator();
    let other = service.create_project(&operator, project("other")).await.unwrap();
    assert_eq!(code(service.create_project(&operator, project("other")).await), Some(ErrorCode::AlreadyExists));
    assert_eq!(code(service.create_project(&operator, project(" ")).await), Some(ErrorCode::InvalidArgument));
    assert_eq!(code(service.create_project(&operator, project(&"x".repeat(513))).await), Some(ErrorCode::InvalidArgument));
    service.create_project(&operator, project(&"x".repeat(512))).await.unwrap();
    assert_eq!(code(service.create_project(&operator, project("fourth")).await), Some(ErrorCode::QuotaExceeded));
    let listed = service.list_projects(&operator).await.unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!((listed.iter().filter(|p| p.name == "default").count(), other.short_id().len()), (1, 7));
    close(service).await;
}
