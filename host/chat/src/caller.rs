//! Who sends a request.

use std::sync::Arc;

use super::auth::Login;
use super::connections::Conn;
use super::core::Core;

/// Who sends a request, and over which connection, if it has one that frames can be sent to.
pub(crate) struct Caller<'a> {
    pub core: &'a Arc<Core>,
    pub login: &'a Login,
    pub conn: Option<&'a Arc<Conn>>,
}
