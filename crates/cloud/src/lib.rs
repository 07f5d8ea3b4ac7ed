//! Other people's networks: request signing, key management services, mail, object stores. An empty room for now: it will
//! implement traits that `storage` and `service` define.
