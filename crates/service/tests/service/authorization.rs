//! Each of the six roles against each call. The expected answers are typed from the published table of roles.

use pinyon_model::{DeleteSelector, ErrorCode, Filter, IndexChange, Prefix, Role, Scalar, Update, UpdateTarget};
use pinyon_service::{AuditFrom, NewApiKey, RootKey};

use crate::common::{House, close, code, id, metadata, namespace, pod, project, query, record, revoke, spec};

/// Whether a role may: list and describe; create, configure and delete; read records; write records.
const TABLE: [(Role, [bool; 4]); 6] = [
    (Role::ProjectEditor, [true, true, true, true]),
    (Role::ProjectViewer, [true, false, true, false]),
    (Role::ControlPlaneEditor, [true, true, false, false]),
    (Role::ControlPlaneViewer, [true, false, false, false]),
    (Role::DataPlaneEditor, [false, false, true, true]),
    (Role::DataPlaneViewer, [false, false, true, false]),
];

#[tokio::test]
async fn six_roles_against_every_call() {
    let house = House::new();
    let service = house.open().await;
    let editor = house.editor(&service).await;
    let filter = || Filter::Field("city".into(), pinyon_model::Condition::Eq(Scalar::String("Bern".into())));
    for (n, (role, [see, change, read, write])) in TABLE.into_iter().enumerate() {
        let me = house.caller(&service, None, &[role]).await;
        // Also on a pod index, where Pinecone's own viewers cannot read.
        let index = pinyon_model::IndexSpec { deployment: pod(), ..spec(&format!("i{n}")) };
        service.create_index(&editor, index).await.unwrap();
        let host = service.find_index(&editor, &format!("i{n}")).await.unwrap();
        let ns = namespace("n");
        service.upsert(&editor, &host, &ns, vec![record("r", [1.0, 0.0, 0.0])]).await.unwrap();

        let mut seen = Vec::new();
        let mut note = |what: &'static str, allowed: bool, error: Option<ErrorCode>| seen.push((what, allowed, error));
        note("list indexes", see, code(service.list_indexes(&me).await));
        note("describe index", see, code(service.describe_index(&me, &format!("i{n}")).await));
        note("create index", change, code(service.create_index(&me, spec(&format!("new-{n}"))).await));
        note("configure index", change, code(service.configure_index(&me, &format!("i{n}"), IndexChange::default()).await));
        note("query", read, code(service.query(&me, &host, &ns, query([1.0, 0.0, 0.0])).await));
        note("fetch", read, code(service.fetch(&me, &host, &ns, vec![id("r")]).await));
        note("fetch by metadata", read, code(service.fetch_by_metadata(&me, &host, &ns, filter(), 10, None).await));
        note("list", read, code(service.list(&me, &host, &ns, &Prefix::default(), 10, None).await));
        note("stats", read, code(service.stats(&me, &host, None).await));
        note("list namespaces", read, code(service.list_namespaces(&me, &host, &Prefix::default(), 10, None).await));
        note("describe namespace", read, code(service.describe_namespace(&me, &host, &ns).await));
        let explained = service.explain(&me, &format!("i{n}"), &ns, query([1.0, 0.0, 0.0])).await;
        note("explain", read, code(explained));
        note("recall", read, code(service.recall(&me, &format!("i{n}")).await));
        note("upsert", write, code(service.upsert(&me, &host, &ns, vec![record("s", [0.0, 1.0, 0.0])]).await));
        let update = Update { target: UpdateTarget::Id(id("r")), dense: None, sparse: None, set_metadata: Some(metadata(&[("a", "b")])) };
        note("update", write, code(service.update(&me, &host, &ns, update).await));
        note("delete", write, code(service.delete(&me, &host, &ns, DeleteSelector::Ids(vec![id("r")])).await));
        note("create namespace", write, code(service.create_namespace(&me, &host, namespace("made"), None).await));
        note("delete namespace", write, code(service.delete_namespace(&me, &host, &ns).await));
        note("delete index", change, code(service.delete_index(&me, &format!("i{n}")).await));
        let new = NewApiKey { name: "k".into(), ..NewApiKey::default() };
        note("create key", false, code(service.create_api_key(&me, new).await));
        note("list keys", false, code(service.list_api_keys(&me, None).await));
        note("revoke key", false, code(revoke(&service, &me, "pcsk_abcdef").await));
        note("create project", false, code(service.create_project(&me, project("p")).await));
        assert_eq!(service.list_projects(&me).await.unwrap(), [], "a list shows what may be seen");
        note("rotate root", false, code(service.rotate_root(&me, RootKey::generate()).await));
        note("export root", false, code(service.export_root(&me).await));
        note("check", false, code(service.check(&me).await));
        note("audit log", false, code(service.audit_page(&me, AuditFrom::Oldest, 1).await));
        assert_eq!(seen.len(), 27);
        for (what, allowed, error) in seen {
            let expected = if allowed { None } else { Some(ErrorCode::Forbidden) };
            assert_eq!(error, expected, "{} may {what}: {allowed}", role.as_str());
        }
    }
    close(service).await;
}

#[tokio::test]
async fn a_caller_without_the_role_learns_nothing_of_what_is_there() {
    let house = House::new();
    let service = house.open().await;
    let editor = house.editor(&service).await;
    service.create_index(&editor, spec("there")).await.unwrap();
    let me = house.caller(&service, None, &[Role::DataPlaneEditor]).await;
    let (a, b) = (service.describe_index(&me, "there").await.unwrap_err(), service.describe_index(&me, "not-there").await.unwrap_err());
    assert_eq!(a, b);
    close(service).await;
}
