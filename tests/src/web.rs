//! The web gateway in the test's own process, in front of a [`Gateway`], with the page that is built in.

use std::net::SocketAddr;
use std::time::Duration;

use sluicegate_chat::{Chat, Settings, SocketLimits};
use sluicegate_config::{ChatLimits, Secret, User};
use tempfile::TempDir;

use crate::{Client, Gateway, within};

/// A token that logs in, and may see all of `/debug`.
pub const TOKEN: &str = "token-of-the-tests-0123456789";

/// A token that logs in somebody else, who may not see that much.
pub const OTHER_TOKEN: &str = "token-of-somebody-else-0123456789";

/// How long running answers may go on at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// A running web gateway with an empty store. [`Web::shutdown`] ends it in order.
pub struct Web {
    chat: Chat,
    _store: TempDir,
}

impl Web {
    /// Starts a web gateway whose endpoint is this gateway. Its limits are wide: a test's pace is not a person's.
    ///
    /// # Errors
    /// What the web gateway itself says, and a file system without room for the store.
    pub async fn before(gateway: &Gateway) -> anyhow::Result<Self> {
        let store = tempfile::tempdir()?;
        let settings = Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            endpoint: format!("http://{}", gateway.address()),
            admin: Some(format!("http://{}", gateway.admin_address())),
            store: store.path().join("chat.db"),
            users: vec![user("test", TOKEN, true), user("other", OTHER_TOKEN, false)],
            limits: ChatLimits {
                sends_per_minute: 600,
                runs_per_user: 16,
                ..ChatLimits::default()
            },
            sockets: SocketLimits {
                frames_per_second: 200,
                ..SocketLimits::default()
            },
            ..Settings::new()
        };
        let chat = Chat::start(settings, sluicegate_page::FILES).await?;
        Ok(Self {
            chat,
            _store: store,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.chat.address()
    }

    /// A client of the REST API that is logged in.
    pub fn client(&self) -> Client {
        Client::new(self.address()).with("authorization", &format!("Bearer {TOKEN}"))
    }

    /// Ends the web gateway in order.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub async fn shutdown(self) {
        within("the end of the web gateway", self.chat.shutdown(DRAIN)).await;
    }
}

fn user(name: &str, token: &str, debug: bool) -> User {
    User {
        name: name.to_owned(),
        token: Secret::new(token.to_owned()),
        debug,
    }
}
