use pinyon_model::{Email, Page, Result, User};
use serde::Serialize;

use super::Listing;
use crate::{json, percent::Parameters};

/// Reads the query string of `GET /admin/users`: whose address is this one, and which page.
pub fn list_users(query: &str) -> Result<(Option<Email>, Listing)> {
    let parameters = Parameters::parse(query)?;
    let email = parameters.get_non_empty("email").map(Email::new).transpose()?;
    let listing = Listing::new(&parameters, "users", &[email.as_ref().map_or("", Email::as_str)])?;
    Ok((email, listing))
}

/// The body that describes one user.
pub fn user_model(user: &User) -> Vec<u8> {
    json::to_vec(&UserOut::from(user))
}

/// The body of a page of users.
pub fn user_page(listing: &Listing, page: &Page<User>) -> Vec<u8> {
    listing.page(page, UserOut::from)
}

#[derive(Serialize)]
pub(crate) struct UserOut<'a> {
    id: String,
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> From<&'a User> for UserOut<'a> {
    fn from(user: &'a User) -> Self {
        let User { id, organization_id: _, email, name, created_at_ms: _ } = user;
        Self { id: id.to_string(), email: email.as_str(), name: name.as_deref() }
    }
}
